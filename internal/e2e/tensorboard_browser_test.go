package e2e

import (
	"context"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// curve matches a drawn curve in the DOM: a path of more line segments than any icon has.
var curve = regexp.MustCompile(`d="M[-0-9.]+[, ][-0-9.]+(?:L[-0-9.]+[, ][-0-9.]+){20,}`)

// Time Series is loaded in Chromium. This takes long, so it runs only in make full.
func TestTensorBoard_DrawsCurvesInABrowser(t *testing.T) {
	t.Parallel()
	if !isFull() {
		t.Skip("runs only in make full")
	}
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium must be on the PATH")
	}
	s := mustStart(t, "--demo")
	b := startTensorBoard(t, newestTensorBoard, s.grpcAddr, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	// Without WebGL, TensorBoard draws the curves as SVG, so they are in the DOM.
	cmd := exec.CommandContext(ctx, browser, "--headless=new", "--no-sandbox", "--disable-3d-apis", "--disable-dev-shm-usage", //nolint:gosec // found on the PATH
		"--user-data-dir="+t.TempDir(), "--window-size=1400,900", "--virtual-time-budget=60000", "--dump-dom", b.url+"/#timeseries")
	dom, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	if drawn := curve.FindAll(dom, -1); len(drawn) == 0 {
		t.Errorf("no curve is drawn in %d bytes of DOM", len(dom))
	}
}
