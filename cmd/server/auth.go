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

// tokenInterval is how often the token file is checked for changes.
const tokenInterval = 2 * time.Second

// maxTokenFile is the maximum size in bytes of the token file.
const maxTokenFile = 1 << 20

// safeToken is the minimum length of a token that cannot be guessed.
const safeToken = 16

// tokenFile keeps the tokens of an authorizer equal to those of a file. A nil tokenFile
// means no file: every call is admitted.
type tokenFile struct {
	path    string
	exposed bool // the server listens beyond loopback
	viewers []string
	auth    *interceptor.Authorizer
	log     *slog.Logger

	text   []byte // last content
	failed string // the last error that was logged
}

// newAuthorizer reads the file of --auth-token-file, if there is one. Viewers are the
// names of the configured Viewers.
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

// run checks the file for changes until the context ends. If the file is invalid, the
// tokens stay unchanged.
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
		f.log.Warn("the token file cannot be used, the old tokens stay valid", slog.Any("error", err))
	case err == nil && (changed || f.failed != ""):
		f.failed = ""
		f.log.Info("token file reloaded", slog.String("file", f.path))
	}
}

// load reads the file, and sets its tokens if they have changed.
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

// checkLengths warns of tokens that can be guessed, and refuses them if the server
// listens beyond loopback.
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

// warnOfReaders warns if other users of the machine can read a secret.
func warnOfReaders(path, what string, log *slog.Logger) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("other users of this machine can read "+what+"; chmod 600 prevents it", //nolint:sloglint // two constants
			slog.String("file", path), slog.String("mode", info.Mode().Perm().String()))
	}
}
