package examples

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// startViewer serves a demo Viewer at an address until stop is called or the
// test ends, and returns its address.
func startViewer(t *testing.T, viewer http.Handler, addr string) (served string, stop func()) {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: viewer, ReadHeaderTimeout: timeout}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(listener) // the error is that it was closed
	}()
	stop = func() {
		_ = srv.Close()
		<-done
	}
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

func newViewer(t *testing.T, cfg demoviewer.Config) *demoviewer.Viewer {
	t.Helper()
	viewer, err := demoviewer.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return viewer
}

// addRun adds a finished run that has logged lines, each with one value of a metric.
func addRun(viewer *demoviewer.Viewer, path, metric string, values ...string) {
	now := time.Now()
	var lines strings.Builder
	for i, value := range values {
		fmt.Fprintf(&lines, "{\"ts\": %d, \"type\": \"metrics\", \"data\": {%q: %s, \"global_step\": %d, \"time\": %d}}\n", now.Unix(), metric, value, i+1, now.Unix())
	}
	viewer.Add(&demoviewer.Record{
		Path: path, Status: "finished", Created: demoviewer.Epoch(now), Started: demoviewer.Epoch(now), Ended: demoviewer.Epoch(now),
		Summary: []byte("{}"), Assets: []byte(demoviewer.NoAssets), Events: &demoviewer.Written{Raw: []byte(lines.String()), Changed: now},
		Files: map[string][]byte{},
	})
}

// TestPage_TellsOfADeadViewerWithinSeconds kills the Viewer of the followed run, and
// restarts it.
func TestPage_TellsOfADeadViewerWithinSeconds(t *testing.T) {
	t.Parallel()
	lab := newViewer(t, demoviewer.Config{Live: true})
	addr, stop := startViewer(t, lab, "127.0.0.1:0")
	other, _ := startViewer(t, newViewer(t, demoviewer.Config{Generation: demoviewer.Gen05}), "127.0.0.1:0")
	b := openBrowser(t)
	srv := startServer(t, "--viewer=lab=http://"+addr, "--viewer=old=http://"+other, "--state-dir=")
	b.open("http://" + srv.httpAddr + "/")
	b.until(isLive)
	b.until(drawn + " >= 1000")

	stop()
	b.within(5*time.Second, `[...document.querySelectorAll("#viewers li")].map((one) => one.querySelector(".badge").textContent).join() === "down,up" &&
		document.querySelectorAll("#runs .lost [data-kind=down]").length === 6 && document.querySelectorAll("#runs li").length === 11 &&
		document.querySelector("#legend [data-kind=down]")`)
	b.wantText("connection refused", "No answer from lab: those runs are shown as last known")
	if gone := b.eval(isLive + ` === null && ` + drawn + ` >= 1000`); gone != "true" {
		t.Error("the chart of a dead Viewer is live, or has lost its points")
	}

	b.eval(`window.step = ` + lastStep)
	startViewer(t, lab, addr)
	b.until(`document.querySelectorAll("#viewers [data-kind=up]").length === 2 && !document.querySelector("#runs .lost") && ` + isLive)
	b.until(lastStep + ` > window.step`)
}

// TestPage_SaysWhyAChartIsEmpty selects runs without points, one after the other.
func TestPage_SaysWhyAChartIsEmpty(t *testing.T) {
	t.Parallel()
	viewer := newViewer(t, demoviewer.Config{Empty: true})
	addr, stop := startViewer(t, viewer, "127.0.0.1:0")
	b := openBrowser(t)
	srv := startServer(t, "--viewer=lab=http://"+addr, "--state-dir=")
	b.open("http://" + srv.httpAddr + "/")
	empty := `document.getElementById("empty").textContent`
	b.until(`document.getElementById("runs-note").textContent.startsWith("There are no runs yet.")`)

	addRun(viewer, "a/none", "")
	addRun(viewer, "b/texts", "note", `"hello"`)
	addRun(viewer, "c/odd", "loss", "NaN", "Infinity")
	for name, want := range map[string]string{
		"a/none":  "a/none has ended, and logged no metrics.",
		"b/texts": "b/texts has logged texts, but no numbers.",
		"c/odd":   "All values of loss are NaN or ±Inf.",
	} {
		b.until(row + fmt.Sprintf("%q)", name))
		b.eval(row + fmt.Sprintf("%q).click()", name))
		b.until(empty + fmt.Sprintf(" === %q", want))
	}
	stop()
	b.until(empty + ` === "Viewer lab does not answer. The chart comes when it does."`)
}

// TestPage_ShowsHostileNamesOnAPhone has runs and metrics whose names are HTML, change
// the direction of text, or are very long.
func TestPage_ShowsHostileNamesOnAPhone(t *testing.T) {
	t.Parallel()
	const html = `<img src=x onerror=hacked=1>'"`
	viewer := newViewer(t, demoviewer.Config{Empty: true})
	addRun(viewer, strings.Repeat("endless", 40), strings.Repeat("metric", 40), "1", "2")
	addRun(viewer, "\u202egnp.exe", "loss'; rm -rf ~; '", "1", "2")
	addRun(viewer, html, html, "1", "2")
	addr, _ := startViewer(t, viewer, "127.0.0.1:0")
	b := openBrowser(t)
	srv := startServer(t, "--viewer=lab=http://"+addr, "--state-dir=")
	b.resize(390, 844, "dark")
	b.open("http://" + srv.httpAddr + "/")
	b.until(`document.querySelectorAll("#runs li").length === 3 && ` + drawn + ` === 2`)
	b.eval(`[...document.querySelectorAll("#runs li[aria-selected=false] .tick")].forEach((one) => one.click())`)
	b.until(isCharts + "3")
	b.until(`document.getElementById("metric").options.length === 3`)
	b.eval(`document.getElementById("metric").value = ` + "`" + html + "`" + `; document.getElementById("metric").dispatchEvent(new Event("change"))`)
	b.until(`[...document.querySelectorAll("#legend .value")].some((one) => one.textContent === "2 at step 2")`)
	b.eval(`document.querySelectorAll("#legend details").forEach((one) => { one.open = true; })`)
	b.wantText(html, `<img src=x onerror=hacked=1>'\''`) // the second as a shell reads it
	if found := b.eval(`document.querySelectorAll("img, script:not([src^='/page/'])").length + String(window.hacked)`); found != "0undefined" {
		t.Errorf("a name became HTML: %s", found)
	}
	b.wantNoSidewaysScrolling()
	b.open("http://" + srv.httpAddr + "/docs#ExperimentService_ExportExperiment_3")
	b.until(`document.querySelector("details.call[open] textarea")`)
	b.wantNoSidewaysScrolling()
}

func (b *browser) wantNoSidewaysScrolling() {
	b.t.Helper()
	if over := b.eval(`document.documentElement.scrollWidth - document.documentElement.clientWidth`); over != "0" {
		b.t.Errorf("the page is %s pixels wider than the window:\n%s", over, b.eval(`[...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth).map((one) => one.outerHTML.slice(0, 120)).join("\n")`))
	}
}

// TestPage_RestsInTheBackground hides the page, which must then send no requests.
func TestPage_RestsInTheBackground(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	srv := startServer(t, "--demo")
	b.open("http://" + srv.httpAddr + "/")
	b.until(isLive)
	followed := func(n string) {
		t.Helper()
		b.eval(`window.metrics = ""`)
		b.until(`(fetch("/metrics").then((resp) => resp.text()).then((text) => { window.metrics = text; }), window.metrics.includes("\nrunicorn_grpc_tail_followed_runs ` + n + `\n"))`)
	}
	followed("1")
	b.hide(true)
	followed("0")
	b.hide(false)
	followed("1")
	b.until(isLive)
}

// hide makes the page believe that its tab is in the background or, again, visible.
func (b *browser) hide(hidden bool) {
	b.t.Helper()
	b.eval(fmt.Sprintf(`Object.defineProperty(document, "hidden", {value: %t, configurable: true}); document.dispatchEvent(new Event("visibilitychange")); 0`, hidden))
}

// TestPage_HoldsABoundedNumberOfPoints sends more points than a page stores.
func TestPage_HoldsABoundedNumberOfPoints(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	srv := startServer(t, "--demo")
	b.open("http://" + srv.httpAddr + "/docs")
	got := b.eval(`import("/page/series.js").then(({Series, maxPoints}) => {
		const one = new Series();
		for (let i = 0; i < 100000; i++) one.add({steps: [String(i)], values: [i === 777 ? 1e6 : i === 50001 ? "NaN" : 0]});
		return [one.steps.length <= maxPoints, one.values.includes(1e6), one.values.some(Number.isNaN), one.steps[0], one.steps.at(-1), one.count, one.steps.filter((step) => step < 50000).length > 500].join();
	})`)
	if want := "true,true,true,0,99999,100000,true"; got != want {
		t.Errorf("bounded, peak, gap, first, last, count, detail of the first half are %s, want %s", got, want)
	}
	got = b.eval(`import("/page/markdown.js").then(({markdown}) => {
		const box = document.createElement("div");
		box.append(...markdown("A ` + "`code`" + ` <img src=x>.\n\n\ta = 1 \tb = 2\n\nRules:\n- one\n- ` + "`two`" + `"));
		return box.innerHTML;
	})`)
	if want := "<p>A <code>code</code> &lt;img src=x&gt;.</p><pre><code>a = 1\nb = 2</code></pre><p>Rules:</p><ul><li>one</li><li><code>two</code></li></ul>"; got != want {
		t.Errorf("Markdown is %s, want %s", got, want)
	}
}

// TestPage_IsAccessible checks both pages with axe, in light and dark, wide and
// narrow.
func TestPage_IsAccessible(t *testing.T) {
	t.Parallel()
	axe := readFile(t, filepath.Join(axeDir(t), "axe.min.js"))
	b := openBrowser(t)
	srv := startServer(t, "--demo")
	for _, path := range []string{"/#metric=train/loss", "/docs#MetricService_TailMetrics"} {
		b.open("http://" + srv.httpAddr + path)
		b.until(isLive + ` || document.querySelector("details.call[open] dl")`)
		b.eval(`document.querySelectorAll("#legend details").forEach((one) => { one.open = true; })`)
		b.eval(string(axe) + "; 0")
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int{1400, 390} {
				b.resize(width, 900, scheme)
				found := b.eval(`axe.run().then(({violations}) => violations.map((one) => [one.impact, one.id, one.help, ...one.nodes.map(({html}) => html)].join(" ")).join("\n"))`)
				if found != "" {
					t.Errorf("%s, %s, %d pixels wide:\n%s", path, scheme, width, found)
				}
				b.wantNoSidewaysScrolling()
			}
		}
	}
}

// axeDir returns the folder of axe-core, which npm installs into the user's
// cache, in the version and with the hash of testdata/axe/package-lock.json.
func axeDir(t *testing.T) string {
	t.Helper()
	if mode, err := realviewer.ModeFromEnv(); err != nil || mode == realviewer.ModeOff {
		t.Skip("npm would ask its registry", err)
	}
	if _, err := exec.LookPath("npm"); err != nil {
		giveUp(t, err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/axe")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--prefer-offline", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		giveUp(t, fmt.Errorf("install axe-core: %w\n%s", err, out))
	}
	return filepath.Join(dir, "node_modules", "axe-core")
}
