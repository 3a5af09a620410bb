package scrub

import (
	"strings"
	"testing"
)

func TestText_HidesSecretsAndPaths(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"plain text stays", "Run 20261123_151105_e4a55c not found", "Run 20261123_151105_e4a55c not found"},
		{"a fraction stays", "n/a, 3/4 of runs", "n/a, 3/4 of runs"},
		{"a relative path stays", "vision/resnet", "vision/resnet"},
		{"a unix path", "cannot read /var/lib/x y", "cannot read <path> y"},
		{"a quoted path", "No such file: '/root/.ssh/id_rsa'", "No such file: '<path>'"},
		{"a home path", "open ~/runs/a", "open <path>"},
		{"a windows path", `in C:\Users\me\x, gone`, "in <path>, gone"},
		{"a share", `in \\host\share\x`, "in <path>"},
		{"a named password", "password=hunter2 for me", "password=<hidden> for me"},
		{"a quoted one", `{"passphrase": "hun ter2", "a": 1}`, `{"passphrase": <hidden>, "a": 1}`},
		{"a token header", "Authorization: Bearer abc.def", "Authorization: <hidden>"},
		{"a url with a password", "GET http://me:hunter2@host/x", "GET http://<hidden>@host/x"},
		{"a key", "bad key -----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY----- here", "bad key <hidden> here"},
		{"a cut key", "bad key -----BEGIN RSA PRIVATE KEY-----\nabc", "bad key <hidden>"},
		{"line ends", "a\r\nb\x1b[31m", "a b [31m"},
		{"a secret that was sent", "login s3cr3t failed", "login <hidden> failed"},
		{"invalid UTF-8", "a\xffb", "a\uFFFDb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Text(tt.text, []string{"s3cr3t", ""}); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got := Text(strings.Repeat("é", 1000), nil); len(got) > maxText+4 {
		t.Errorf("a long text keeps %d bytes", len(got))
	}
}
