package tokens

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Saving is tried again after 1, 2, 4, 4 … s.
const firstSaveDelay, saveDelayLimit = time.Second, 4 * time.Second

// keepSaving saves what could not be saved. It takes the turn for each try.
func (c *custody) keepSaving() {
	for delay := firstSaveDelay; ; delay = min(2*delay, saveDelayLimit) {
		time.Sleep(delay)
		end, err := c.begin(context.Background())
		if err != nil {
			return
		}
		saved := c.save(context.Background()) == nil
		end()
		if saved {
			return
		}
	}
}

// save saves what could not be saved, under the claim that stands for it. If another
// instance has gone on meanwhile, it has the newer one. The caller has the turn.
func (c *custody) save(ctx context.Context) error {
	own := c.unsaved
	if own == nil {
		return nil
	}
	v, err := c.claims.look(ctx, storageTimeout, own.name)
	if err != nil {
		return err
	}
	kept := keeping{}
	// What is listed up to the own number may be what could not be saved.
	if generations := numbered(v.names, generationPrefix); len(generations) > 0 && generations[0] > c.held.Generation {
		if kept, err = c.read(ctx, v, own); err != nil {
			return err
		}
	}
	if kept.record.Generation > c.held.Generation {
		c.log().Warn("another instance has stored a newer refresh token than the one that could not be saved", zap.String("folder", c.claims.folder))
		c.takeOver(ctx, kept.record)
		return nil
	}
	if err := c.write(ctx); err != nil {
		return err
	}
	c.unsaved = nil
	own.finish(ctx)
	c.sweep(ctx, v.names)
	c.log().Info("the new refresh token is saved", zap.String("folder", c.claims.folder), zap.Int("generation", c.held.Generation))
	return nil
}

// Flush saves once more what could not be saved: the process ends.
func (s *SharedStorage) Flush(ctx context.Context) {
	s.mu.Lock()
	custodies := make([]*custody, 0, len(s.custodies))
	for _, c := range s.custodies {
		custodies = append(custodies, c)
	}
	s.mu.Unlock()
	var all sync.WaitGroup
	for _, c := range custodies {
		all.Go(func() { c.flush(ctx) })
	}
	all.Wait()
}

func (c *custody) flush(ctx context.Context) {
	end, err := c.begin(ctx)
	if err != nil {
		return
	}
	defer end()
	if err := c.save(ctx); err != nil {
		c.log().Error("the new refresh token cannot be saved and is lost with this process: obtain a new one", zap.Error(err))
	}
}
