package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// readTokens parses a token file. Its errors name lines and words by their number, and
// never include their content. Viewers are the names of the configured Viewers.
func readTokens(r io.Reader, viewers []string) ([]interceptor.Token, error) {
	var out []interceptor.Token
	lines := map[string]int{} // by token or certificate
	scanner := bufio.NewScanner(r)
	for n := 1; scanner.Scan(); n++ {
		words := withoutComment(strings.Fields(scanner.Text()))
		if len(words) == 0 {
			continue
		}
		t, err := readTokenLine(words, viewers)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if first, ok := lines[identityOf(t)]; ok {
			return nil, fmt.Errorf("line %d: has the same token as line %d", n, first)
		}
		lines[identityOf(t)] = n
		out = append(out, t)
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, errors.New("holds no token")
	}
	return out, nil
}

// identityOf returns a key that is equal for lines with the same credential.
func identityOf(t interceptor.Token) string {
	switch {
	case t.Cert != "":
		return "cert:" + t.Cert
	case t.Token != "":
		t.Hash = sha256.Sum256([]byte(t.Token))
	}
	return string(t.Hash[:])
}

// withoutComment removes a comment, which begins with a # at the start of a word; within
// a word, # is part of the token.
func withoutComment(fields []string) []string {
	at := slices.IndexFunc(fields, func(field string) bool { return strings.HasPrefix(field, "#") })
	if at < 0 {
		return fields
	}
	return fields[:at]
}

// readTokenLine parses one line: a role, a credential, and options.
func readTokenLine(words, viewers []string) (t interceptor.Token, err error) {
	if len(words) < 2 {
		return t, errors.New("want a role and a token")
	}
	var ok bool
	if t.Role, ok = interceptor.ParseRole(words[0]); !ok {
		return t, errors.New("the role must be read, write or admin")
	}
	if err := readCredential(&t, words[1]); err != nil {
		return t, err
	}
	given := map[string]bool{}
	for i, word := range words[2:] {
		key, value, _ := strings.Cut(word, "=")
		read, ok := tokenOptions[key]
		switch {
		case !ok:
			return t, fmt.Errorf("word %d: want name=, expires= or viewers=; a token has no spaces, and a comment begins with #", i+3)
		case given[key]:
			return t, fmt.Errorf("word %d: %s= is given twice", i+3, key)
		}
		given[key] = true
		if err := read(&t, value, viewers); err != nil {
			return t, fmt.Errorf("word %d: %s=: %w", i+3, key, err)
		}
	}
	return t, nil
}

// readCredential parses a credential: a token, its hash, or a name in a certificate.
func readCredential(t *interceptor.Token, word string) error {
	for _, c := range []byte(word) {
		if c <= ' ' || c > '~' {
			return errors.New("the token has a character that is not allowed in a header")
		}
	}
	if digits, ok := strings.CutPrefix(word, "sha256:"); ok {
		sum, err := hex.DecodeString(digits)
		if err != nil || len(sum) != sha256.Size {
			return errors.New("want sha256: and 64 hexadecimal digits; `printf %s TOKEN | sha256sum` prints them")
		}
		t.Hash = [sha256.Size]byte(sum)
		return nil
	}
	if name, ok := strings.CutPrefix(word, "cert:"); ok {
		return readCertName(t, name)
	}
	t.Token = word
	return nil
}

// readCertName parses a name in a certificate, in which spaces and other characters may
// be escaped as in URLs.
func readCertName(t *interceptor.Token, word string) error {
	kind, escaped, _ := strings.Cut(word, "=")
	value, err := url.PathUnescape(escaped)
	if err != nil || value == "" || !slices.Contains([]string{"CN", "DNS", "EMAIL", "URI"}, kind) {
		return errors.New("want cert: with CN=, DNS=, EMAIL= or URI= and a value, such as cert:CN=alice; a space in it is %20")
	}
	if kind == "DNS" {
		value = strings.ToLower(value)
	}
	t.Cert = kind + "=" + value
	return nil
}

var validTokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$`)

// tokenOptions parses the options of a line.
var tokenOptions = map[string]func(t *interceptor.Token, value string, viewers []string) error{
	"name": func(t *interceptor.Token, value string, _ []string) error {
		if !validTokenName.MatchString(value) {
			return errors.New("want letters, digits and . _ @ + -, at most 64")
		}
		t.Name = value
		return nil
	},
	"expires": func(t *interceptor.Token, value string, _ []string) (err error) {
		if day, err := time.Parse(time.DateOnly, value); err == nil {
			t.Expires = day.AddDate(0, 0, 1) // the token is valid until the end of the day
			return nil
		}
		if t.Expires, err = time.Parse(time.RFC3339, value); err != nil {
			return errors.New("want the last day, such as 2027-01-31 (in UTC), or a time, such as 2027-01-31T18:00:00Z")
		}
		return nil
	},
	"viewers": func(t *interceptor.Token, value string, viewers []string) error {
		t.Viewers = strings.Split(value, ",")
		for i, name := range t.Viewers {
			if !slices.Contains(viewers, name) {
				return fmt.Errorf("name %d is not the name of a --viewer; want some of %s, separated by commas", i+1, strings.Join(viewers, ","))
			}
		}
		return nil
	},
}
