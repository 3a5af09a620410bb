package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// credential is one line of the token file.
type credential struct {
	role  interceptor.Role
	token string
}

// newAuthorizer reads the token file, once: changed tokens need a restart.
// Without a file every call is let in.
func newAuthorizer(cfg *Config, log *slog.Logger) (*interceptor.Authorizer, error) {
	auth := &interceptor.Authorizer{}
	if cfg.AuthTokenFile == "" {
		return auth, nil
	}
	f, err := os.Open(cfg.AuthTokenFile)
	if err != nil {
		return nil, badFlag("auth-token-file", "%w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("other users of this machine can read the token file; chmod 600 prevents it",
			slog.String("file", cfg.AuthTokenFile), slog.String("mode", info.Mode().Perm().String()))
	}
	credentials, err := readTokens(f)
	if err != nil {
		return nil, badFlag("auth-token-file", "%s: %w", cfg.AuthTokenFile, err)
	}
	for _, c := range credentials {
		auth.Add(c.token, c.role)
	}
	return auth, nil
}

// readTokens reads lines of a role and a token. Its errors name lines by their
// number and never show what stands in them.
func readTokens(r io.Reader) ([]credential, error) {
	var out []credential
	lines := map[string]int{} // of each token
	scanner := bufio.NewScanner(r)
	for n := 1; scanner.Scan(); n++ {
		fields := withoutComment(strings.Fields(scanner.Text()))
		if len(fields) == 0 {
			continue
		}
		c, err := readCredential(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if first, ok := lines[c.token]; ok {
			return nil, fmt.Errorf("line %d: the token of line %d again", n, first)
		}
		lines[c.token] = n
		out = append(out, c)
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, errors.New("holds no token")
	}
	return out, nil
}

// withoutComment leaves out what stands behind a # that begins a word; within
// one it is a part of a token.
func withoutComment(fields []string) []string {
	at := slices.IndexFunc(fields, func(field string) bool { return strings.HasPrefix(field, "#") })
	if at < 0 {
		return fields
	}
	return fields[:at]
}

// readCredential reads one line.
func readCredential(fields []string) (credential, error) {
	if len(fields) != 2 {
		return credential{}, errors.New("want a role and a token")
	}
	role, ok := interceptor.ParseRole(fields[0])
	if !ok {
		return credential{}, errors.New("the role must be read, write or admin")
	}
	for _, c := range []byte(fields[1]) {
		if c <= ' ' || c > '~' {
			return credential{}, errors.New("the token holds a character that no header may have")
		}
	}
	return credential{role: role, token: fields[1]}, nil
}
