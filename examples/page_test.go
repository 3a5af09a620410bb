package examples

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Conditions and values of the page.
const (
	isLive   = `document.querySelector("#legend [data-kind=live]")`
	isCharts = `document.querySelectorAll("#legend > li").length === `
	fails    = `!document.getElementById("trouble").hidden`
	moves    = `document.getElementById("chart").toDataURL() !== window.before`
	drawn    = `Number(/(\d+) points/.exec(document.querySelector("#legend .facts")?.textContent)?.[1] || 0)`
	lastStep = `Number(/at step (\d+)/.exec(document.querySelector("#legend .value")?.textContent)?.[1] || 0)`
	row      = `[...document.querySelectorAll("#runs [role=option]")].find((one) => one.querySelector(".name").textContent === `
)

// colours are those of the first two runs of the chart, in the light scheme.
var colours = [][3]uint32{{0x0a, 0x66, 0xc2}, {0xc2, 0x41, 0x0c}}

// TestPage_ShowsALiveRun opens the first page of the demo in a browser.
func TestPage_ShowsALiveRun(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	srv := startServer(t, "--demo")
	b.open("http://" + srv.httpAddr + "/")
	b.wantLiveRun()
	b.wantText("NaN or ±Inf", `"metric_names":["loss"]`, "client.tail(", srv.grpcAddr)

	shot := filepath.Join(t.ArtifactDir(), "page.png")
	b.screenshot(shot)
	if n := pixels(t, shot, colours[0]); n < 1000 {
		t.Errorf("the curve has %d pixels", n)
	}
	b.hover("chart")
	b.until(`/\d step \d+ vision.vit/.test(document.getElementById("tip").textContent)`)

	b.eval(row + `"vision/resnet · baseline").click()`)
	b.until(`document.querySelector("#legend [data-kind=finished]") && ` + drawn + ` === 60`)
	if live := b.eval(isLive + ` === null`); live != "true" {
		t.Error("a finished run is shown as live")
	}
	b.wantText("client.history(")
	if href := b.eval(`document.querySelector("#legend .exports a").getAttribute("href")`); !strings.Contains(href, ":export?format=csv") {
		t.Errorf("the export leads to %s", href)
	}
}

// TestPage_SendsTheToken opens the page of a server that requires tokens.
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

	wantRefused := func(why string) {
		t.Helper()
		b.until(fails + ` && document.getElementById("trouble").textContent.includes("` + why + `")`)
		b.wantText("This server requires a token")
		if n := b.eval(`document.querySelectorAll("#viewers li, #runs li, #legend li").length`); n != "0" {
			t.Errorf("without a token the page has %s rows", n)
		}
	}
	wantRefused("Enter yours")
	b.enter("token", wrong)
	wantRefused("not valid")
	b.enter("token", token)
	b.wantLiveRun()
	if shown := b.eval(`document.getElementById("trouble").hidden`); shown != "true" {
		t.Error("the page still complains")
	}
	b.wantText("$TOKEN")
	b.eval(`document.querySelector("#legend details").open = true; document.querySelector("#legend .exports a").click()`)
	b.until(`performance.getEntriesByType("resource").some((one) => one.name.includes(":export?format=csv") && one.responseStatus === 200)`)

	for _, secret := range []string{token, wrong} {
		for position, text := range map[string]string{
			"a URL":    strings.Join(b.urls, "\n"),
			"storage":  b.eval("JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie"),
			"the page": b.eval("document.body.innerText + location.href"),
			"the log":  string(readFile(t, srv.log)),
		} {
			if strings.Contains(text, secret) {
				t.Errorf("the token is in %s:\n%s", position, text)
			}
		}
	}
	for _, want := range []string{"/v1/viewers", "/v1/experiments", "/v1/metrics:tail"} {
		if !strings.Contains(strings.Join(b.urls, "\n"), want) {
			t.Errorf("the page sent no request to %s, or it was not recorded:\n%q", want, b.urls)
		}
	}
}

// wantLiveRun waits until the page has Viewers, runs, and a growing chart of the live
// run.
func (b *browser) wantLiveRun() {
	b.t.Helper()
	b.until(isLive)
	b.until(drawn + " >= 1000")
	b.eval(`window.before = document.getElementById("chart").toDataURL(); window.step = ` + lastStep)
	b.until(lastStep + " > window.step")
	b.until(moves)
	b.wantText("demo", "legacy", "loss", "vision/vit", "running", "finished")
}

// TestPage_ChartsSeveralRunsByKeyboard selects runs without a mouse.
func TestPage_ChartsSeveralRunsByKeyboard(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	srv := startServer(t, "--demo")
	b.open("http://" + srv.httpAddr + "/#metric=train/loss")
	b.until(isLive)

	b.press("/")
	if focused := b.eval(`document.activeElement.id`); focused != "filter" {
		t.Errorf("/ moves the focus to %q", focused)
	}
	b.call("Input.insertText", map[string]any{"text": "resnet"}, nil)
	b.until(`document.querySelectorAll("#runs li").length === 4`)
	b.press("ArrowDown")
	b.until(`document.activeElement.getAttribute("role") === "option"`)
	b.press("Enter")
	b.until(isCharts + "1 && " + drawn + " === 40")
	b.press("ArrowDown")
	b.press(" ")
	b.until(isCharts + `2 && document.querySelectorAll("#legend .facts").length === 2`)
	b.until(`[...document.querySelectorAll("#legend .value")].every((one) => /at step \d+/.test(one.textContent))`)
	b.until(`document.querySelectorAll("#runs [aria-selected=true]").length === 2`)

	// The chart is drawn one frame after its points have arrived.
	b.eval(`new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))`)
	shot := filepath.Join(t.ArtifactDir(), "two.png")
	b.screenshot(shot)
	for i, colour := range colours {
		if n := pixels(t, shot, colour); n < 100 {
			t.Errorf("curve %d has %d pixels", i, n)
		}
	}
	b.eval(`document.getElementById("chart").focus()`)
	b.press("Home")
	b.until(`/at step 1\b.*; .*at step 1\b/.test(document.getElementById("chart").getAttribute("aria-valuetext"))`)
	b.press("/")
	b.press("Escape")
	b.until(`document.getElementById("filter").value === "" && document.querySelectorAll("#runs li").length === 11`)
	if chosen := b.eval(`decodeURIComponent(location.hash).match(/run=/g).length`); chosen != "2" {
		t.Errorf("the address of the page names %s runs", chosen)
	}

	link := b.eval(`location.href`)
	b.open("http://" + srv.httpAddr + "/docs")
	b.open(link)
	b.until(isCharts + "2")
}

// TestPage_FiltersRuns searches with the filter language of the API.
func TestPage_FiltersRuns(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	srv := startServer(t, "--demo")
	b.open("http://" + srv.httpAddr + "/")
	b.until(isLive)
	b.enter("filter", "status = RUNNIN")
	b.until(`document.getElementById("filter").getAttribute("aria-invalid") === "true"`)
	b.wantText("at character 10: status must be RUNNING")
	b.enter("filter", "status = RUNNING AND metrics.loss.last < 1e6")
	b.until(`document.querySelectorAll("#runs li").length === 1 && document.getElementById("filter-error").hidden`)
	b.wantText(`client.experiments("status = RUNNING AND metrics.loss.last < 1e6", viewer="-")`)
	b.enter("filter", "nothing-has-this-name")
	b.until(`document.getElementById("runs-note").textContent === "No run matches the filter."`)
	b.wantText("vision/vit") // the selected run stays
}

// TestPage_APIWorksOffline opens the page of the API in a browser that can reach only
// this server, and makes a call there.
func TestPage_APIWorksOffline(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
	srv := startServer(t, "--demo")
	b.open("http://" + srv.httpAddr + "/docs")
	b.until(`document.querySelectorAll("details.call").length > 50`)
	b.wantText("MetricService", "/v1/experiments")
	b.eval(`window.call = document.getElementById("ViewerService_ListViewers")`)
	b.eval(`window.call.open = true`)
	b.eval(`[...window.call.querySelectorAll("button")].find((one) => one.textContent === "Send").click()`)
	// The page shows the status when it arrives, and the body when it is complete.
	b.until(`/^200 OK[^]*"generation": "0.5"/.test(window.call.querySelector(".answer").textContent)`)

	b.press("/")
	b.call("Input.insertText", map[string]any{"text": "ListMetr"}, nil)
	b.until(`document.getElementById("found").textContent.startsWith("2 of ")`)
	b.call("Input.insertText", map[string]any{"text": "cqq"}, nil)
	b.until(`document.getElementById("found").textContent.startsWith("Nothing is found for")`)
	if shown := b.eval(`document.querySelectorAll("#services section:not([hidden])").length`); shown != "0" {
		t.Errorf("%s services are shown", shown)
	}
	b.press("Escape")
	b.until(`document.querySelectorAll("#services section:not([hidden])").length === 5`)
	for _, url := range b.urls {
		if !strings.HasPrefix(url, "http://"+srv.httpAddr+"/") && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page requests %s", url)
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

// pixels counts the pixels of one color.
func pixels(t *testing.T, path string, colour [3]uint32) int {
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
			if r, g, b, _ := shot.At(x, y).RGBA(); [3]uint32{r >> 8, g >> 8, b >> 8} == colour {
				n++
			}
		}
	}
	return n
}
