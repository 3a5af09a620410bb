package examples

import (
	"context"
	"errors"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestPage_ShowsALiveRun opens the first page in a browser, as a newcomer does
// who has started the demo.
func TestPage_ShowsALiveRun(t *testing.T) {
	browser := findBrowser(t)
	srv := startServer(t, "--demo")
	page := "http://" + srv.httpAddr + "/"

	// The budget is virtual: it ends when its timers would have, long before so
	// much time has passed. So it grows until points came that are new.
	for budget := 500_000; ; budget *= 2 {
		dom := browse(t, browser, "--virtual-time-budget="+strconv.Itoa(budget), "--dump-dom", page)
		if n := number(t, dom, "points"); n < 1000 {
			t.Fatalf("the chart has %d points", n)
		}
		for _, want := range []string{">live<", "<td>demo</td>", "<td>legacy</td>", "train/loss", "NaN or ±Inf", ">running<"} {
			if !strings.Contains(dom, want) {
				t.Errorf("the page lacks %q:\n%s", want, dom)
			}
		}
		if number(t, dom, "fresh") > 0 || t.Failed() {
			break
		}
		if budget > 10_000_000 {
			t.Fatal("no point came while the page was open")
		}
	}

	shot := filepath.Join(t.ArtifactDir(), "page.png")
	browse(t, browser, "--virtual-time-budget=20000", "--window-size=1200,1500", "--screenshot="+shot, page)
	if n := pixels(t, shot, 0x00, 0x77, 0xcc); n < 1000 {
		t.Errorf("the curve has %d pixels", n)
	}
}

// TestPage_APIWorksOffline opens the page of the API in a browser that finds
// no name and no address but this server's.
func TestPage_APIWorksOffline(t *testing.T) {
	browser := findBrowser(t)
	srv := startServer(t, "--demo")
	dom := browse(t, browser, "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--virtual-time-budget=5000", "--dump-dom", "http://"+srv.httpAddr+"/docs")
	for _, want := range []string{"MetricService_TailMetrics", "/v1/experiments", "Version"} {
		if !strings.Contains(dom, want) {
			t.Errorf("the page lacks %q:\n%.2000s", want, dom)
		}
	}
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

// browse runs the browser and returns what it printed.
func browse(t *testing.T, browser string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	flags := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir=" + t.TempDir(),
	}
	out, err := exec.CommandContext(ctx, browser, append(flags, args...)...).Output()
	if err != nil {
		t.Fatalf("the browser: %v\n%s", err, out)
	}
	return string(out)
}

// number reads the number in an element of the page.
func number(t *testing.T, dom, id string) int {
	t.Helper()
	found := regexp.MustCompile(fmt.Sprintf(`id="%s">(\d+)<`, id)).FindStringSubmatch(dom)
	if found == nil {
		t.Fatalf("the page has no number %s:\n%s", id, dom)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
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
