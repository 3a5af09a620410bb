package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// tryHTTP makes a request over a separate connection and reads the response. It fails if
// a client can detect that the response is truncated.
func tryHTTP(t *testing.T, method, url, body string, header map[string]string) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range header {
		req.Header.Set(key, value)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return nil, nil, err
	}
	got, err := io.ReadAll(resp.Body)
	return resp, got, errors.Join(err, resp.Body.Close())
}

// getHTTP gets an answer over plain HTTP.
func getHTTP(t *testing.T, url string, header map[string]string) (*http.Response, []byte) {
	t.Helper()
	resp, body, err := tryHTTP(t, http.MethodGet, url, "", header)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

// getJSON reads a JSON answer over plain HTTP, numbers with all their digits.
func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	resp, body := getHTTP(t, url, nil)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", url, resp.Status)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
}

// statusOfGet returns the status of an answer over plain HTTP.
func statusOfGet(t *testing.T, url string) int {
	t.Helper()
	resp, _ := getHTTP(t, url, nil)
	return resp.StatusCode
}

// sendJSON makes a request with a JSON body and returns the body of its answer.
func sendJSON(t *testing.T, method, url, body string) string {
	t.Helper()
	_, answer, err := tryHTTP(t, method, url, body, map[string]string{"Content-Type": "application/json"})
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// headOf makes a HEAD request.
func headOf(t *testing.T, url string) *http.Response {
	t.Helper()
	resp, _, err := tryHTTP(t, http.MethodHead, url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}
