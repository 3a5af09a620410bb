package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// tokenInterval is how often the token file is read again.
const tokenInterval = 2 * time.Second

// maxTokenFile bounds the token file, in bytes.
const maxTokenFile = 1 << 20

// safeToken is how long a token must be that nobody can guess.
const safeToken = 16

// tokenFile keeps the tokens of an authorizer those of a file. Nil is no file: every
// call is let in.
type tokenFile struct {
	path    string
	exposed bool // beyond loopback
	viewers []string
	auth    *interceptor.Authorizer
	log     *slog.Logger

	text   []byte // that was read last
	failed string // the last error that was logged
}

// newAuthorizer reads the token file of the flags, if there is one, for the configured
// Viewers of these names.
func newAuthorizer(cfg *Config, viewers []string, log *slog.Logger) (*interceptor.Authorizer, *tokenFile, error) {
	auth := &interceptor.Authorizer{}
	if cfg.AuthTokenFile == "" {
		return auth, nil, nil
	}
	_, exposed := cfg.nonLoopback()
	f := &tokenFile{path: cfg.AuthTokenFile, exposed: exposed, viewers: viewers, auth: auth, log: log}
	if _, err := f.load(); err != nil {
		return nil, nil, badFlag("auth-token-file", "%w", err)
	}
	return auth, f, nil
}

// run reads the file again until the context ends. One that cannot be used leaves the
// tokens as they are.
func (f *tokenFile) run(ctx context.Context) {
	if f == nil {
		return
	}
	ticker := time.NewTicker(tokenInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.reload()
		}
	}
}

func (f *tokenFile) reload() {
	changed, err := f.load()
	switch {
	case err != nil && err.Error() != f.failed:
		f.failed = err.Error()
		f.log.Warn("the token file cannot be used, the old tokens stay", slog.Any("error", err))
	case err == nil && (changed || f.failed != ""):
		f.failed = ""
		f.log.Info("token file reloaded", slog.String("file", f.path))
	}
}

// load reads the file, and makes its tokens known if they have changed.
func (f *tokenFile) load() (changed bool, err error) {
	in, err := os.Open(f.path)
	if err != nil {
		return false, err
	}
	defer in.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(in, maxTokenFile))
	if err != nil || (f.text != nil && bytes.Equal(text, f.text)) {
		return false, err
	}
	tokens, err := readTokens(bytes.NewReader(text), f.viewers)
	if err != nil {
		return false, fmt.Errorf("%s: %w", f.path, err)
	}
	if err := f.checkLengths(tokens); err != nil {
		return false, fmt.Errorf("%s: %w", f.path, err)
	}
	warnOfReaders(f.path, "the token file", f.log)
	f.auth.SetTokens(tokens)
	f.text = text
	return true, nil
}

// checkLengths warns of tokens that can be guessed, and refuses them beyond loopback.
func (f *tokenFile) checkLengths(tokens []interceptor.Token) error {
	short := 0
	for _, t := range tokens {
		if t.Token != "" && len(t.Token) < safeToken {
			short++
		}
	}
	if short == 0 {
		return nil
	}
	const advice = "`openssl rand -hex 32` makes a good one"
	if f.exposed {
		return fmt.Errorf("%d of the tokens have fewer than %d characters and can be guessed; %s", short, safeToken, advice)
	}
	f.log.Warn("tokens are so short that they can be guessed; "+advice, slog.Int("tokens", short), slog.Int("at_least", safeToken))
	return nil
}

// warnOfReaders warns of a secret that other users of the machine can read.
func warnOfReaders(path, what string, log *slog.Logger) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("other users of this machine can read "+what+"; chmod 600 prevents it", //nolint:sloglint // two constants
			slog.String("file", path), slog.String("mode", info.Mode().Perm().String()))
	}
}
