package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// unreadableFiles makes files that cannot be read, by a sentence. Permissions
// are no way: they mean nothing to root.
func unreadableFiles(t *testing.T) map[string]struct{ path, want string } {
	t.Helper()
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	for name, size := range map[string]int{"regular": 1, "large": maxFileSize + 1, "huge": 20_000_000} {
		if err := os.WriteFile(in(name), []byte(strings.Repeat(" ", size)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(syscall.Mkfifo(in("fifo"), 0o600), os.Symlink(in("loop"), in("loop")), os.Symlink(in("nowhere"), in("dangling"))); err != nil {
		t.Fatal(err)
	}
	return map[string]struct{ path, want string }{
		"a missing file":               {in("missing"), "cannot be read: no such file"},
		"a file in a missing folder":   {in("missing/file"), "cannot be read: no such file"},
		"a link that leads nowhere":    {in("dangling"), "cannot be read: no such file"},
		"unreadable: links in a loop":  {in("loop"), "cannot be read: too many levels"},
		"unreadable: within a file":    {in("regular/file"), "cannot be read: not a directory"},
		"a directory":                  {folder, "is a folder, not a file"},
		"a FIFO":                       {in("fifo"), "is not a regular file"},
		"a device without an end":      {"/dev/zero", "is not a regular file"},
		"20 MB":                        {in("huge"), "is larger than 1 MiB"},
		"a file one byte over 1 MiB":   {in("large"), "is larger than 1 MiB"},
		"a name with a NUL byte in it": {"a\x00b", "cannot be read: invalid argument"},
	}
}

// soon runs what must not block.
func soon(t *testing.T, run func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		run()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("reading blocks")
	}
}

func TestAConfigurationFileThatCannotBeReadIsRefused(t *testing.T) {
	for name, test := range unreadableFiles(t) {
		t.Run(name, func(t *testing.T) {
			var err error
			soon(t, func() { _, err = LoadFile(test.path) })
			misconfigured, ok := errors.AsType[*ConfigurationError](err)
			if !ok || misconfigured.File != test.path || misconfigured.Line != 0 || misconfigured.Provider != "" {
				t.Fatalf("got %+v", err)
			}
			if want := shownPath(test.path) + ": the file " + test.want; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %q, want %q", err, want)
			}
			if strings.Count(err.Error(), test.path) > 1 {
				t.Errorf("%q names the file twice", err)
			}
		})
	}
}

func TestAValueFileThatCannotBeReadIsAnUnresolvedReference(t *testing.T) {
	for name, test := range unreadableFiles(t) {
		t.Run(name, func(t *testing.T) {
			p := valid(t, "")
			p.ClientSecret, p.ClientSecretFile = "", Path(test.path)
			var err error
			soon(t, func() { err = Providers{"p": p}.validate(testEnvironment()) })
			if !errors.Is(err, ErrUnresolvedReference) {
				t.Fatalf("got %v", err)
			}
			wantError(t, err, "client_secret_file", shownPath(test.path), test.want)
		})
	}
}

func TestTheCauseOfAFileThatCannotBeReadIsKept(t *testing.T) {
	if _, err := ReadFile(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestAFileOfOneMiBIsRead(t *testing.T) {
	path := writeFile(t, strings.Repeat(" ", maxFileSize))
	content, err := ReadFile(path)
	if err != nil || len(content) != maxFileSize {
		t.Errorf("got %d bytes, %v", len(content), err)
	}
}

func TestALinkToAFileIsRead(t *testing.T) {
	path := writeFile(t, "value")
	link := path + "-link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if value, err := readValueFile(link); err != nil || value != "value" {
		t.Errorf("got %q, %v", value, err)
	}
}

func TestAnEmptyValueFileIsAnUnresolvedReference(t *testing.T) {
	for name, content := range map[string]string{"nothing": "", "a newline": "\n", "a newline of Windows": "\r\n"} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, content)
			if _, err := readValueFile(path); !errors.Is(err, ErrUnresolvedReference) || !strings.HasSuffix(err.Error(), path+" is empty") {
				t.Errorf("got %v", err)
			}
		})
	}
}
