package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
)

// viewerFlag is one --viewer.
type viewerFlag struct{ Name, URL string }

// UnmarshalText parses [NAME=]URL. An equals sign after the scheme belongs to the URL.
func (v *viewerFlag) UnmarshalText(text []byte) error {
	name, url, found := strings.Cut(string(text), "=")
	named := found && !strings.Contains(name, "://")
	if !named {
		name, url = "", string(text)
	}
	if url == "" || (named && name == "") {
		return errors.New("want [NAME=]URL, such as lab=http://127.0.0.1:23300")
	}
	if _, port, err := net.SplitHostPort(url); err == nil && port != "" && strings.Trim(port, "0123456789") == "" {
		url = "http://" + url // the scheme may be omitted
	}
	*v = viewerFlag{Name: name, URL: url}
	return nil
}

// viewerFile is a file for the Viewer with a name.
type viewerFile struct{ name, file string }

// UnmarshalText reads NAME=FILE.
func (f *viewerFile) UnmarshalText(text []byte) error {
	name, file, found := strings.Cut(string(text), "=")
	if !found || name == "" || file == "" {
		return errors.New("want NAME=FILE, such as lab=/etc/runicorn-grpc/lab.pem")
	}
	*f = viewerFile{name, file}
	return nil
}

// byteSize is a number of bytes.
type byteSize int64

// units are the suffixes of sizes; the longer ones come first.
var units = []struct {
	suffix string
	factor float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}, {"", 1}}

// UnmarshalText reads sizes such as 512MiB or 1.5GiB; a bare number is bytes.
func (b *byteSize) UnmarshalText(text []byte) error {
	for _, u := range units {
		number, found := strings.CutSuffix(string(text), u.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		size := n * u.factor
		if err != nil || !(size >= 0 && size < math.MaxInt64) {
			break
		}
		*b = byteSize(size)
		return nil
	}
	return fmt.Errorf("want a size such as 512MiB, not %q", text)
}
