package fleet

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

func TestNew_NamesTheViewers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		entries []Entry
		want    []string
		err     string
	}{
		{"names are made up", []Entry{{URL: "http://a"}, {URL: "http://b"}}, []string{"default", "viewer-2"}, ""},
		{"names are kept", []Entry{{Name: "lab", URL: "http://a"}, {Name: "gpu", URL: "http://b"}}, []string{"lab", "gpu"}, ""},
		{"none", nil, nil, "no viewer is configured"},
		{"twice", []Entry{{Name: "lab", URL: "http://a"}, {Name: "lab", URL: "http://b"}}, nil, "given twice"},
		{"a dot would be a session", []Entry{{Name: "lab.1", URL: "http://a"}}, nil, "want letters"},
		{"no URL", []Entry{{Name: "lab", URL: "ftp://a"}}, nil, "viewer lab: base URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, err := New(tt.entries, restclient.Config{})
			if err != nil {
				if tt.err == "" || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got error %v, want %q", err, tt.err)
				}
				return
			}
			defer f.Close()
			if tt.err != "" || !slices.Equal(f.Names(), tt.want) {
				t.Errorf("got %q, want %q, error %q", f.Names(), tt.want, tt.err)
			}
			first, err := f.Get(t.Context(), "")
			if err != nil || first != f.Configured()[0] || !f.IsDefault(t.Context(), first) {
				t.Errorf("the empty name is %v, %v", first, err)
			}
			_, err = f.Get(t.Context(), "none")
			if unknown, ok := errors.AsType[*UnknownError](err); !ok || !slices.Equal(unknown.Known, tt.want) {
				t.Errorf("an unknown name: %v", err)
			}
		})
	}
}

func TestOnLoopback(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]bool{
		"http://127.0.0.1:23300":        true,
		"http://127.9.9.9":              true,
		"http://[::1]:23300":            true,
		"http://[::ffff:127.0.0.1]:1":   true,
		"http://LocalHost:23300/prefix": true,
		"http://10.0.0.1:23300":         false,
		"http://localhost.example.org":  false,
		"http://gpu":                    false,
		"http://0.0.0.0:23300":          false,
		"http://127.0.0.1.example.org":  false,
		"http://%zz":                    false,
	} {
		if got := onLoopback(base); got != want {
			t.Errorf("%s: %v, want %v", base, got, want)
		}
	}
}
