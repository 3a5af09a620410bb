package scrub

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// serverPaths are paths of a Viewer's machine, in every notation.
var serverPaths = []string{
	"/home/me/run", "/srv", "//host/share/x", "///x", "~/runs", "~me/runs", `~\runs`,
	`C:\Users\me`, "c:/Users/me", `\\host\share`, `\\?\C:\x`,
	"file:///home/me", "file:/home/me", "FILE://host/x", `file:\x`, "/дом/я",
}

// otherTexts look like such paths, and are none.
var otherTexts = []string{
	"", "run 7", "vision/resnet", "./out/m.pt", "../x", "n/a", "3/4", "~5/10 runs", "a:b", "C:", `\alpha`, `a\b`,
	"https://host/x", "s3://bucket/data", "hdfs:///data", "http://[::1]:1/x", "https://host:8080/a//b", "profile", "#/definitions/x",
}

func TestIsServerPath(t *testing.T) {
	for _, path := range append([]string{"/", "~", " /home/me", "\t~/x", `\Users\me`, `C:\`}, serverPaths...) {
		if !IsServerPath(path) {
			t.Errorf("%q is not recognised", path)
		}
	}
	for _, text := range append([]string{"see /home/me"}, otherTexts...) {
		if IsServerPath(text) {
			t.Errorf("%q is taken for a path", text)
		}
	}
}

func TestPaths_HidesServerPaths(t *testing.T) {
	// Whatever may stand around a path, the path is hidden and the rest stays.
	around := [][2]string{
		{"", ""},
		{"open ", " failed"},
		{"'", "'"},
		{`"`, `"`},
		{`\"`, `\"`},
		{"`", "`"},
		{"(", ")"},
		{"[", "]"},
		{"{", "}"},
		{"<", ">"},
		{"a>", " b"},
		{"a|", "|b"},
		{"path=", ","},
		{"in:", ";"},
		{"a;", " b"},
		{"@", ""},
		{"«", " »"},
		{"\n", "\n"},
	}
	for _, path := range serverPaths {
		for _, a := range around {
			if strings.HasPrefix(path, "//") && a[0] == "in:" {
				continue // it is a URL
			}
			if got, want := Paths(a[0]+path+a[1]), a[0]+"<path>"+a[1]; got != want {
				t.Errorf("%q: got %q, want %q", a[0]+path+a[1], got, want)
			}
		}
	}
	for _, text := range otherTexts {
		for _, shown := range []string{text, "see " + text, `{"a":"` + text + `"}`} {
			if got := Paths(shown); got != shown {
				t.Errorf("%q became %q", shown, got)
			}
		}
	}
	for text, want := range map[string]string{
		"/a:/b and /c":                    "<path> and <path>",
		"'a'/'b'":                         "'a'/'b'",
		`{"p":"C:\\Users\\me\\","q":"r"}`: `{"p":"<path>","q":"r"}`,
		`{"p":"\/home\/me"}`:              `{"p":"<path>"}`,
		`{"p":"\\\\host\\share"}`:         `{"p":"<path>"}`,
		"jar:file:///home/me/x.jar":       "jar:<path>",
		"x //host/share":                  "x <path>",
		"http://host/x?p=/home/me&q=1":    "http://host/x?p=<path>",
		"a / b // c":                      "a / b // c",
	} {
		if got := Paths(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzPaths(f *testing.F) {
	for _, text := range append(append([]string{}, serverPaths...), otherTexts...) {
		f.Add("see " + text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := Paths(text)
		if utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Errorf("%q became invalid: %q", text, got)
		}
		if again := Paths(got); again != got {
			t.Errorf("%q became %q, and then %q", text, got, again)
		}
	})
}

func BenchmarkPaths(b *testing.B) {
	for name, part := range map[string]string{"paths": "open /home/me ", "slashes": "/", "backslashes": `\`, "words": "five of them ", "homes": "~a "} {
		text := strings.Repeat(part, 64<<10/len(part))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				Paths(text)
			}
		})
	}
}
