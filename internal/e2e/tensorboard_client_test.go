package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// tensorBoards are the releases to test: the newest one, and with RUNICORN_PYTHON_PAIRS=all,
// as in make full, also the oldest one that can be installed with current Pythons.
func tensorBoards() []string {
	if isFull() {
		return []string{newestTensorBoard, oldestTensorBoard}
	}
	return []string{newestTensorBoard}
}

const newestTensorBoard, oldestTensorBoard = "2.21.0", "2.8.0"

// installs serializes installations.
var installs sync.Mutex

// tensorBoardPython is the interpreter of a virtual environment with a release of TensorBoard
// and without TensorFlow. The environment is kept between runs.
func tensorBoardPython(t *testing.T, release string) string {
	t.Helper()
	installs.Lock()
	defer installs.Unlock()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	system := realviewer.Require(t, realviewer.V072).Python
	venv := filepath.Join(cache, "runicorn-grpc", "venvs", "tensorboard-"+release)
	python := filepath.Join(venv, "bin", "python")
	if exec.CommandContext(t.Context(), python, "-c", "import tensorboard.main").Run() == nil {
		return python
	}
	packages := []string{"tensorboard==" + release}
	if release == oldestTensorBoard {
		packages = append(packages, "six", "setuptools<70", "numpy<2", "protobuf<3.21") // undeclared dependencies, and bounds that the release does not declare
	}
	for _, args := range [][]string{
		{system, "-m", "venv", venv},
		append([]string{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"}, packages...),
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return python
}

// tensorBoard is a process of TensorBoard.
type tensorBoard struct {
	url    string
	client *http.Client
	cmd    *exec.Cmd
}

// served matches the address in TensorBoard's output.
var served = regexp.MustCompile(`TensorBoard \S+ at (http://\S+?)/? `)

// startTensorBoard starts an unmodified TensorBoard with a data provider at an address.
// Without one, the flags select the data. The environment variables are added to those of the
// test.
func startTensorBoard(t *testing.T, release, provider string, environment []string, flags ...string) *tensorBoard {
	t.Helper()
	python := tensorBoardPython(t, release)
	if provider != "" {
		flags = append(flags, "--grpc_data_provider="+provider)
	}
	cmd := exec.Command(python, append([]string{"-m", "tensorboard.main", "--host=127.0.0.1", "--port=0"}, flags...)...) //nolint:gosec // arguments of the test
	cmd.Env = append(os.Environ(), environment...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := &tensorBoard{client: &http.Client{Timeout: time.Minute}, cmd: cmd}
	var output strings.Builder
	found, read := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewReader(stderr)
		for {
			line, err := lines.ReadString('\n')
			output.WriteString(line)
			if m := served.FindStringSubmatch(line); m != nil {
				found <- m[1]
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait() // it was killed
		b.client.CloseIdleConnections()
		if t.Failed() {
			t.Logf("TensorBoard wrote:\n%.4000s", output.String())
		}
	})
	select {
	case b.url = <-found:
	case <-read:
		t.Fatal("TensorBoard exited")
	case <-time.After(2 * time.Minute):
		t.Fatal("TensorBoard has printed no address")
	}
	return b
}

// do sends a request and decodes the response.
func (b *tensorBoard) do(req *http.Request, into any) error {
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %.500s", req.URL.Path, resp.Status, text)
	}
	if raw, ok := into.(*[]byte); ok {
		*raw = text
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	return decoder.Decode(into)
}

func (b *tensorBoard) get(t *testing.T, path string, query url.Values, into any) {
	t.Helper()
	if err := b.tryGet(t, path, query, into); err != nil {
		t.Fatal(err)
	}
}

func (b *tensorBoard) tryGet(t *testing.T, path string, query url.Values, into any) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return b.do(req, into)
}

// post sends a body to a route.
func (b *tensorBoard) post(t *testing.T, path, mediaType, body string, into any) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	return b.do(req, into)
}

// timeSeries is the path of the Time Series routes.
const timeSeries = "/experiment/defaultExperimentId/data/plugin/timeseries/"

// tbPoint is a point of a curve.
type tbPoint struct {
	Step     json.Number
	Value    any // NaN and the infinities are strings
	WallTime float64
}

// series returns the curves of a tag, by run.
func (b *tensorBoard) series(t *testing.T, tag string) (byRun map[string][]tbPoint, err error) {
	t.Helper()
	request, err := json.Marshal([]map[string]string{{"plugin": "scalars", "tag": tag}})
	if err != nil {
		t.Fatal(err)
	}
	var responses []struct {
		Error       string
		RunToSeries map[string][]tbPoint
	}
	if err := b.post(t, timeSeries+"timeSeries", "application/x-www-form-urlencoded", url.Values{"requests": {string(request)}}.Encode(), &responses); err != nil {
		return nil, err
	}
	if len(responses) != 1 || responses[0].Error != "" {
		return nil, fmt.Errorf("%s: %+v", tag, responses)
	}
	return responses[0].RunToSeries, nil
}

// runs returns the names of the runs.
func (b *tensorBoard) runs(t *testing.T) (names []string) {
	t.Helper()
	b.get(t, "/data/runs", nil, &names)
	return names
}

// find returns the run of a Viewer whose name ends with an id.
func find(t *testing.T, runs []string, viewer, runID string) string {
	t.Helper()
	for _, name := range runs {
		if strings.HasPrefix(name, viewer) && strings.HasSuffix(name, runID) {
			return name
		}
	}
	t.Fatalf("no run of %s is called %s, of %q", viewer, runID, runs)
	return ""
}
