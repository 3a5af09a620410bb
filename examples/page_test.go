package examples

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Conditions of the page.
const (
	isLive = `document.getElementById("state").textContent === "live"`
	grows  = `Number(document.getElementById("fresh").textContent) > 0`
	fails  = `!document.getElementById("trouble").hidden`
	moves  = `document.getElementById("chart").toDataURL() !== window.before`
	drawn  = `Number(document.getElementById("points").textContent)`
)

// TestPage_ShowsALiveRun opens the first page in a browser, as a newcomer does
// who has started the demo.
func TestPage_ShowsALiveRun(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	srv := startServer(t, "--demo")
	b.open("http://" + srv.httpAddr + "/")
	b.wantLiveRun()
	b.wantText("NaN or ±Inf")

	shot := filepath.Join(t.ArtifactDir(), "page.png")
	b.screenshot(shot)
	if n := pixels(t, shot, 0x00, 0x77, 0xcc); n < 1000 {
		t.Errorf("the curve has %d pixels", n)
	}

	b.eval(`[...document.querySelectorAll("#experiments button")].find((one) => one.textContent === "vision/resnet").click()`)
	b.until(`document.getElementById("state").textContent.startsWith("ended: ")`)
}

// TestPage_SendsTheToken opens it where tokens are demanded.
func TestPage_SendsTheToken(t *testing.T) {
	t.Parallel()
	const token, wrong = "canary-of-the-page-0123456789", "canary-that-is-wrong-0123456789"
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("read "+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t)
	srv := startServer(t, "--demo", "--auth-token-file="+file, "--log-level=debug")
	b.open("http://" + srv.httpAddr + "/")

	wantRefused := func() {
		t.Helper()
		b.until(fails)
		b.wantText("This server demands a token", "TOKEN_INVALID")
		if n := b.eval(`document.querySelectorAll("tbody tr").length + ` + drawn); n != "0" {
			t.Errorf("without a token the page has %s rows and points", n)
		}
	}
	wantRefused()
	b.eval(`document.getElementById("trouble").hidden = true`)
	b.enter("token", wrong)
	wantRefused()
	b.enter("token", token)
	b.wantLiveRun()
	if shown := b.eval(`document.getElementById("trouble").hidden`); shown != "true" {
		t.Error("the page still complains")
	}

	for _, secret := range []string{token, wrong} {
		for position, text := range map[string]string{
			"a URL":   strings.Join(b.urls, "\n"),
			"storage": b.eval("JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie"),
			"the log": string(readFile(t, srv.log)),
		} {
			if strings.Contains(text, secret) {
				t.Errorf("the token is in %s:\n%s", position, text)
			}
		}
	}
	for _, want := range []string{"/v1/viewers", "/v1/experiments", "/v1/metrics:tail"} {
		if !strings.Contains(strings.Join(b.urls, "\n"), want) {
			t.Errorf("the page asked for nothing at %s: what it sends was not seen:\n%q", want, b.urls)
		}
	}
}

// wantLiveRun wants Viewers, experiments, and a chart of the live run that
// moves.
func (b *browser) wantLiveRun() {
	b.t.Helper()
	b.until(isLive)
	b.until(drawn + " >= 1000")
	b.eval(`window.before = document.getElementById("chart").toDataURL()`)
	b.until(grows)
	b.until(moves)
	b.wantText("demo", "legacy", "train/loss", "vision/vit", "running", "finished")
}

// TestPage_APIWorksOffline opens the page of the API in a browser that finds
// no name and no address but this server's, and tries a call there.
func TestPage_APIWorksOffline(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
	srv := startServer(t, "--demo")
	b.open("http://" + srv.httpAddr + "/docs")
	b.until(`document.querySelectorAll("details.call").length > 50`)
	b.wantText("MetricService", "/v1/experiments")
	b.eval(`window.call = [...document.querySelectorAll("details.call")].find((one) => one.textContent.includes("ListViewers "))`)
	b.eval(`window.call.open = true`)
	b.eval(`[...window.call.querySelectorAll("button")].find((one) => one.textContent === "Send").click()`)
	// The page shows the status when it comes, and the body when all of it is in.
	b.until(`/^200 OK[^]*"generation": "0.5"/.test(window.call.querySelector(".answer").textContent)`)
	for _, url := range b.urls {
		if !strings.HasPrefix(url, "http://"+srv.httpAddr+"/") && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page asks for %s", url)
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// pixels counts those of one colour.
func pixels(t *testing.T, path string, r, g, b uint32) int {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	shot, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for y := shot.Bounds().Min.Y; y < shot.Bounds().Max.Y; y++ {
		for x := shot.Bounds().Min.X; x < shot.Bounds().Max.X; x++ {
			if pr, pg, pb, _ := shot.At(x, y).RGBA(); pr>>8 == r && pg>>8 == g && pb>>8 == b {
				n++
			}
		}
	}
	return n
}
