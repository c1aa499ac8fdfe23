package fleet

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Measures are what a process says of itself.
type Measures struct {
	// HeapBytes is what is in use after a collection.
	HeapBytes  int64
	Goroutines int64
}

// Measure asks an instance.
func (i *Instance) Measure(ctx context.Context) (m Measures, err error) {
	if m.HeapBytes, err = i.profile(ctx, "heap?debug=1&gc=1", "# HeapInuse = "); err != nil {
		return m, err
	}
	m.Goroutines, err = i.profile(ctx, "goroutine?debug=1", "goroutine profile: total ")
	return m, err
}

// profile finds the number in a profile that stands after some text.
func (i *Instance) profile(ctx context.Context, name, before string) (number int64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.admin+"/debug/pprof/"+name, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return numberAfter(response.Body, before)
}

func numberAfter(text io.Reader, before string) (number int64, err error) {
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), before); ok {
			_, err := fmt.Sscan(rest, &number)
			return number, err
		}
	}
	return 0, fmt.Errorf("the profile does not have %q: %w", before, lines.Err())
}

// Slope is by how much values grow from one to the next, by least squares.
func Slope(values []float64) float64 {
	n := float64(len(values))
	if n < 2 {
		return 0
	}
	var sumX, sumY, sumXY, sumXX float64
	for i, y := range values {
		x := float64(i)
		sumX, sumY, sumXY, sumXX = sumX+x, sumY+y, sumXY+x*y, sumXX+x*x
	}
	return (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX)
}
