package examples

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// browser is a headless Chromium with one tab, controlled with the DevTools protocol
// over two pipes: JSON messages, each terminated by NUL.
type browser struct {
	t       *testing.T
	to      *os.File
	from    *bufio.Reader
	calls   int
	session string   // of the tab
	urls    []string // requested by the tab
}

// timeout is the maximum time until a page reaches the expected state.
const timeout = time.Minute

// openBrowser starts a browser, which is stopped at the end of the test.
func openBrowser(t *testing.T, flags ...string) *browser {
	t.Helper()
	path := findBrowser(t)
	commands, to := pipe(t)
	from, answers := pipe(t)
	cmd := exec.Command(path, append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-dev-shm-usage", "--window-size=1200,1500", "--remote-debugging-pipe", "--user-data-dir=" + t.TempDir(),
	}, flags...)...)
	cmd.ExtraFiles = []*os.File{commands, answers}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(commands.Close(), answers.Close(), from.SetReadDeadline(time.Now().Add(2*timeout))); err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, to: to, from: bufio.NewReader(from)}
	t.Cleanup(func() {
		timer := time.AfterFunc(timeout, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		b.session = ""
		b.call("Browser.close", nil, nil)
		if err := errors.Join(cmd.Wait(), to.Close(), from.Close()); err != nil {
			t.Errorf("close the browser: %v", err)
		}
	})
	var tab struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &tab)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": tab.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.call("Network.enable", nil, nil)
	return b
}

func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	giveUp(t, errors.New("no Chromium here"))
	return ""
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// call calls a method of the protocol, and records the requests that the tab makes
// meanwhile.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.calls++
	message := map[string]any{"id": b.calls, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	for {
		text, err := b.from.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID     int
			Method string
			Params struct{ Request struct{ URL string } }
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(text[:len(text)-1], &answer); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		switch {
		case answer.Method == "Network.requestWillBeSent":
			b.urls = append(b.urls, answer.Params.Request.URL)
		case answer.ID != b.calls:
		case answer.Error != nil:
			b.t.Fatalf("%s: %s", method, answer.Error.Message)
		case result == nil:
			return
		default:
			if err := json.Unmarshal(answer.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
			return
		}
	}
}

// open loads a page.
func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.until(`document.readyState === "complete" && location.href !== "about:blank"`)
}

// eval runs a script in the page and returns its value, a text.
func (b *browser) eval(script string) string {
	b.t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	b.call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &got)
	if got.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", script, got.ExceptionDetails.Exception.Description)
	}
	return fmt.Sprint(got.Result.Value)
}

// until waits until a condition of the page holds.
func (b *browser) until(condition string) {
	b.t.Helper()
	b.within(timeout, condition)
}

// within waits until a condition of the page holds, at most for limit.
func (b *browser) within(limit time.Duration, condition string) {
	b.t.Helper()
	held := b.eval(fmt.Sprintf(`new Promise((done) => {
		const began = performance.now();
		const holdsNow = () => { try { return %s; } catch { return false; } };
		const timer = setInterval(() => {
			const holds = Boolean(holdsNow());
			if (!holds && performance.now() - began < %d) return;
			clearInterval(timer);
			done(holds);
		}, 50);
	})`, condition, limit.Milliseconds()))
	if held != "true" {
		b.t.Fatalf("the page has not within %s: %s\n%s", limit, condition, b.eval("document.body.innerText"))
	}
}

// keyCodes maps the keys that tests press to the codes of Chromium.
var keyCodes = map[string]int{"ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37, "Enter": 13, "Escape": 27, "Home": 36, "/": 191, " ": 32}

// press presses a key and releases it.
func (b *browser) press(key string) {
	b.t.Helper()
	text := map[string]string{"Enter": "\r", "/": "/", " ": " "}[key]
	for _, kind := range []string{"keyDown", "keyUp"} {
		b.call("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "text": text, "windowsVirtualKeyCode": keyCodes[key]}, nil)
	}
}

// enter replaces the content of a field by a text, and presses Enter.
func (b *browser) enter(id, text string) {
	b.t.Helper()
	b.eval(fmt.Sprintf("document.getElementById(%q).select()", id))
	b.call("Input.insertText", map[string]any{"text": text}, nil)
	b.press("Enter")
}

// hover moves the mouse to the middle of an element.
func (b *browser) hover(id string) {
	b.t.Helper()
	var at struct{ X, Y float64 }
	text := b.eval(fmt.Sprintf(`(({x, y, width, height}) => JSON.stringify({x: x + width / 2, y: y + height / 2}))(document.getElementById(%q).getBoundingClientRect())`, id))
	if err := json.Unmarshal([]byte(text), &at); err != nil {
		b.t.Fatal(err)
	}
	b.call("Input.dispatchMouseEvent", map[string]any{"type": "mouseMoved", "x": at.X, "y": at.Y}, nil)
}

// resize sets the size of the page, and its light or dark color scheme.
func (b *browser) resize(width, height int, scheme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// screenshot writes a picture of the window to a file.
func (b *browser) screenshot(path string) {
	b.t.Helper()
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	picture, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, picture, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// wantText waits until the page shows texts.
func (b *browser) wantText(texts ...string) {
	b.t.Helper()
	shown := b.eval("document.body.innerText")
	for _, want := range texts {
		if !strings.Contains(shown, want) {
			b.t.Errorf("the page lacks %q:\n%s", want, shown)
		}
	}
}
