package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// settings resolves the flags that are not on the command line, from the environment,
// then from the configuration file.
type settings struct {
	getenv func(string) string
	path   string
	file   map[string]any // strings and lists of strings, by flag name
}

// open reads the file of --config or its environment variable, if it is set.
func (s *settings) open(path string) error {
	s.path = cmp.Or(path, s.getenv(variable("config")))
	if s.path == "" {
		return nil
	}
	f, err := os.Open(s.path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	if s.file, err = readYAML(f); err != nil {
		return fmt.Errorf("--config: %s: %w", s.path, err)
	}
	return nil
}

// Resolve returns the value of one flag; nil if there is none.
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if value := s.getenv(variable(flag.Name)); value != "" {
		return value, nil
	}
	return s.file[flag.Name], nil
}

// Validate refuses keys of the file that are not flags, which are probably typing errors,
// and flags that make no sense in a file.
func (s *settings) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, group := range app.AllFlags(false) {
		for _, flag := range group {
			known[flag.Name] = true
		}
	}
	for _, name := range []string{"help", "version", "config"} {
		delete(known, name)
	}
	for key := range s.file {
		if !known[key] {
			return fmt.Errorf("--config: %s: unknown key %q", s.path, key)
		}
	}
	return nil
}

// readYAML reads a mapping of keys to scalars or lists of scalars. Scalars are not
// interpreted, so that each flag parses its own value: no octal numbers, no "off" for
// false.
func readYAML(r io.Reader) (map[string]any, error) {
	var nodes map[string]yaml.Node
	if err := yaml.NewDecoder(r).Decode(&nodes); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("want flag names and their values: %w", err)
	}
	out := make(map[string]any, len(nodes))
	for key, node := range nodes {
		switch {
		case isText(&node):
			out[key] = node.Value
		case node.Kind == yaml.SequenceNode:
			list := make([]any, 0, len(node.Content))
			for _, item := range node.Content {
				if !isText(item) {
					return nil, fmt.Errorf("line %d: key %q: want a list of plain values", item.Line, key)
				}
				list = append(list, item.Value)
			}
			out[key] = list
		default:
			return nil, fmt.Errorf("line %d: key %q: want a value or a list of values", node.Line, key)
		}
	}
	return out, nil
}

// isText reports whether a node is a scalar; an empty value is null, not a scalar.
func isText(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.Tag != "!!null"
}
