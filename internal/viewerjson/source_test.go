package viewerjson

import (
	"testing"

	"github.com/go-json-experiment/json"
)

func TestSource_HidesPathsAndCredentials(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"a URI", `"s3://bucket/data"`, "s3://bucket/data"},
		{"a URI that was a path", `"s3:/bucket/data"`, "s3://bucket/data"},
		{"a URI with credentials", `"https://me:hunter2@host/x"`, "https://<hidden>@host/x"},
		{"a URI with credentials that was a path", `"s3:/me:hunter2@bucket/x"`, "s3://<hidden>@bucket/x"},
		{"a relative path", `"./out/m.pt"`, "./out/m.pt"},
		{"an absolute path", `"/home/me/data"`, "data"},
		{"a folder", `"/home/me/data/"`, "data"},
		{"a home", `"~/data"`, "data"},
		{"a Windows path", `"C:\\Users\\me\\data"`, "data"},
		{"a share", `"\\\\host\\share\\data"`, "data"},
		{"a file URI", `"file:///home/me/data"`, "data"},
		{"the root", `"/"`, ""},
		{"null", `null`, ""},
		{"a number", `7`, "7"},
		{"an object", `{"path":"/home/me/data","n":1}`, `{"path":"<path>","n":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got Source
			if err := json.Unmarshal([]byte(tt.value), &got); err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
