package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// outcomes is the table case × lab × outcome, and all that clients were told.
// Safe for concurrent use.
type outcomes struct {
	mu    sync.Mutex
	cases []string
	cells map[string]map[string]string
	reported  strings.Builder
}

// note enters what a call came to, and returns it.
func (o *outcomes) note(name string, l *remoteLab, begun time.Time, err error) string {
	what := "OK"
	if err != nil {
		what = status.Code(err).String() + " " + reasonOf(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cells == nil {
		o.cells = make(map[string]map[string]string)
	}
	if o.cells[name] == nil {
		o.cells[name] = make(map[string]string)
		o.cases = append(o.cases, name)
	}
	o.cells[name][l.name] = fmt.Sprintf("%s (%.1f s)", what, time.Since(begun).Seconds())
	fmt.Fprintf(&o.reported, "%v\n%s\n", err, prototext.Format(status.Convert(err).Proto()))
	for _, d := range status.Convert(err).Details() {
		fmt.Fprintf(&o.reported, "%v\n", d)
	}
	return what
}

// recvMessage keeps what a client was told.
func (o *outcomes) recvMessage(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reported.WriteString(text + "\n")
}

// want makes a call, enters its outcome and compares it: "OK", or code and
// reason.
func (o *outcomes) want(t *testing.T, l *remoteLab, name, want string, call func() error) {
	t.Helper()
	begun := time.Now()
	err := call()
	if got := o.note(name, l, begun, err); !slices.Contains(strings.Split(want, " or "), got) {
		t.Errorf("%s: %s (%v), want %s", name, got, err, want)
	}
}

// print writes the table.
func (o *outcomes) print(t *testing.T, labs []*remoteLab) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	b.WriteString("| case |")
	for _, l := range labs {
		fmt.Fprintf(&b, " %s, %s |", l.version, map[bool]string{true: "ssh on PATH", false: "no ssh"}[l.ssh])
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(labs)))
	for _, name := range o.cases {
		fmt.Fprintf(&b, "\n| %s |", name)
		for _, l := range labs {
			fmt.Fprintf(&b, " %s |", o.cells[name][l.name])
		}
	}
	t.Logf("what the calls came to:\n%s", b.String())
}

// reasonOf is the reason in an error's details.
func reasonOf(err error) string {
	if info := detailOf[*errdetails.ErrorInfo](err); info != nil {
		return info.GetReason()
	}
	return "without a reason"
}

// hostKeyOf is the host key in an error's details.
func hostKeyOf(err error) *runicornapiv1.HostKey { return detailOf[*runicornapiv1.HostKey](err) }

// detailOf is the first detail of a type.
func detailOf[T any](err error) (none T) {
	for _, d := range status.Convert(err).Details() {
		if found, ok := d.(T); ok {
			return found
		}
	}
	return none
}
