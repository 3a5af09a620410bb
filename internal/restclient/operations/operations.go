// Package operations compares the routes named in comments of restclient with those that a
// Viewer describes in its /openapi.json: which are covered, intentionally unused, or no
// longer there.
//
// A method of restclient that makes a call has a line of the form
//
//	//viewer:operation GET /api/runs/{run_id} 0.5 0.6 0.7
//
// with the generations that have the route. WebSockets are in no /openapi.json, so only a
// real Viewer can show that they exist. They have lines of the form
//
//	//viewer:socket /api/runs/{run_id}/logs/ws 0.5 0.6 0.7
//
// Read collects these lines from the source: in restclient's own tests with recorded
// documents, and in end-to-end tests with real Viewers. The package must not know how a
// call is made.
package operations

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Operation is one route that restclient calls.
type Operation struct {
	// Method and Path are the route, with the placeholder names of our code. The method of
	// a WebSocket is Socket.
	Method, Path string
	// Generations are those that have the route, such as 0.5.
	Generations []string
	// File is the file with the comment.
	File string
}

// Socket is the method of a WebSocket.
const Socket = "SOCKET"

const (
	marker       = "//viewer:operation "
	socketMarker = "//viewer:socket "
)

// Read collects the operations from the Go files of a folder.
func Read(folder fs.FS) ([]Operation, error) {
	files, err := fs.Glob(folder, "*.go")
	if err != nil {
		return nil, fmt.Errorf("list the sources: %w", err)
	}
	var ops []Operation
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := fs.ReadFile(folder, file)
		if err != nil {
			return nil, fmt.Errorf("read the source: %w", err)
		}
		for line := range strings.Lines(string(source)) {
			text, ok := strings.CutPrefix(line, marker)
			if path, isSocket := strings.CutPrefix(line, socketMarker); isSocket {
				text, ok = Socket+" "+path, true
			}
			if !ok {
				continue
			}
			fields := strings.Fields(text)
			if len(fields) < 3 || !slices.IsSorted(fields[2:]) {
				return nil, fmt.Errorf("%s: malformed operation line: %s", file, strings.TrimSpace(line))
			}
			ops = append(ops, Operation{Method: fields[0], Path: fields[1], Generations: fields[2:], File: file})
		}
	}
	return ops, nil
}

// Report is the result of a comparison. Entries have the form "GET /api/runs/{}".
type Report struct {
	// Covered routes are described by the Viewer and named in a comment.
	Covered []string
	// Unused routes are described and listed as unused with a reason.
	Unused []string
	// Missing routes are described, but neither named nor listed.
	Missing []string
	// Vanished routes are named for the generation, but not described.
	Vanished []string
	// Sockets are named for the generation; no document describes them.
	Sockets []string
	// Undeclared routes are described and named, but not for this generation.
	Undeclared []string
}

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// key makes routes comparable: generations use different placeholder names.
func key(method, path string) string {
	return strings.ToUpper(method) + " " + placeholder.ReplaceAllString(path, "{}")
}

// Compare compares the operations with the /openapi.json of a Viewer of a generation.
func Compare(ops []Operation, document []byte, generation string) (Report, error) {
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		return Report{}, fmt.Errorf("decode /openapi.json: %w", err)
	}
	described := map[string]bool{"GET /openapi.json": true}
	for path, methods := range doc.Paths {
		for method := range methods {
			described[key(method, path)] = true
		}
	}
	named, declared := make(map[string]bool), make(map[string]bool)
	for _, op := range ops {
		named[key(op.Method, op.Path)] = true
		if slices.Contains(op.Generations, generation) {
			declared[key(op.Method, op.Path)] = true
		}
	}
	var r Report
	for _, k := range slices.Sorted(maps.Keys(described)) {
		switch {
		case declared[k]:
			r.Covered = append(r.Covered, k)
		case named[k]:
			r.Undeclared = append(r.Undeclared, k)
		case Reason(k) != "":
			r.Unused = append(r.Unused, k)
		default:
			r.Missing = append(r.Missing, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(declared)) {
		switch {
		case strings.HasPrefix(k, Socket+" "):
			r.Sockets = append(r.Sockets, k)
		case !described[k]:
			r.Vanished = append(r.Vanished, k)
		}
	}
	return r, nil
}
