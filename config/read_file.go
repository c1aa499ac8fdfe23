package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/tidwall/gjson"
)

// maxFileSize bounds what is read of any file.
const maxFileSize = 1 << 20

// readRegular reads a file of at most 1 MiB. It looks before it opens: opening
// a FIFO would block, and a device may never end. Its errors do not
// name the file.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	if err := readable(info); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if len(content) > maxFileSize {
		return nil, errFileSize
	}
	return content, nil
}

var errFileSize = errors.New("is larger than 1 MiB")

func readable(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return errors.New("is a folder, not a file")
	case !info.Mode().IsRegular():
		return errors.New("is not a regular file")
	case info.Size() > maxFileSize:
		return errFileSize
	}
	return nil
}

func withoutPath(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = failed.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// readValueFile reads a file that is a value. The newline that editors and
// `echo` put at its end is not part of it.
func readValueFile(path string) (string, error) {
	content, err := readRegular(path)
	if err != nil {
		return "", fmt.Errorf("%w: the file %s %w", ErrUnresolvedReference, shownPath(path), err)
	}
	value, cut := strings.CutSuffix(string(content), "\n")
	if cut {
		value = strings.TrimSuffix(value, "\r")
	}
	if value == "" {
		return "", fmt.Errorf("%w: the file %s is empty", ErrUnresolvedReference, shownPath(path))
	}
	return value, nil
}

// readMember reads a member of a JSON file, such as the key file of a service
// account. A member that is not a string is read as its JSON text.
func readMember(path, member string) (string, error) {
	content, err := readRegular(path)
	if err != nil {
		return "", fmt.Errorf("%w: the file %s %w", ErrUnresolvedReference, shownPath(path), err)
	}
	// json.Valid, not gjson.Valid: the latter can exhaust the stack.
	if !json.Valid(content) {
		return "", fmt.Errorf("%w: the file %s must be JSON", ErrUnresolvedReference, shownPath(path))
	}
	value := gjson.GetBytes(content, member).String()
	if value == "" {
		return "", fmt.Errorf("%w: the file %s has no member %s", ErrUnresolvedReference, shownPath(path), shownName(member))
	}
	return value, nil
}

// ReadFile reads a configuration file: a regular file of at most 1 MiB.
func ReadFile(path string) ([]byte, error) {
	content, err := readRegular(path)
	if err != nil {
		return nil, &ConfigurationError{File: path, Err: fmt.Errorf("the file %w", err)}
	}
	return content, nil
}
