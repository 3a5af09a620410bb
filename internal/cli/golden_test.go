package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ended excludes the demo's live run, whose output changes.
const ended = "status != RUNNING"

func TestCommandsPrint(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"ls":               {"ls", ended},
		"ls_metrics":       {"ls", ended, "-m", "val/accuracy", "-m", "学習率", "-m", "stage", "--order-by", "create_time"},
		"ls_limit":         {"ls", ended, "-n", "2", "--viewer", "legacy"},
		"ls_nothing":       {"ls", "path = nothing"},
		"ls_mistake":       {"ls", "path ="},
		"show":             {"show", "baseline"},
		"show_odd":         {"show", "demo/nlp/bert"},
		"show_ambiguous":   {"show", "vision/resnet"},
		"show_unknown":     {"show", "nobody"},
		"best":             {"best", "val/accuracy"},
		"best_min":         {"best", "loss", "--min", "viewer = demo AND " + ended},
		"best_nothing":     {"best", "nothing", ended},
		"tail":             {"tail", "baseline", "-m", "val/accuracy", "-m", "lr"},
		"tail_unknown":     {"tail", "viewers/demo/experiments/20200101_000000_abcdef"},
		"logs":             {"logs", "baseline"},
		"logs_last":        {"logs", "-n", "1", "-f", "baseline"},
		"usage":            {"ls", "--bogus"},
		"usage_no_run":     {"show"},
		"usage_no_format":  {"export", "baseline", "-o", "x.doc"},
		"usage_no_address": {"ls", "-a", "ftp://x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := runCommand(t, args...)
			wantGolden(t, name, got.text())
			if _, usage := errors.AsType[*UsageError](got.err); usage != strings.HasPrefix(name, "usage") {
				t.Errorf("the error is %T", got.err)
			}
		})
	}
}

func TestViewersPrint(t *testing.T) {
	t.Parallel()
	got := runCommand(t, "viewers").text()
	wantGolden(t, "viewers", regexp.MustCompile(`:\d{4,5}\b`).ReplaceAllString(got, ":PORT"))
}

func TestHelpOfEveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"viewers", "ls", "show", "tail", "logs", "best", "export", "protos"} {
		got := runCommand(t, command, "--help")
		if !Has(command) || got.err != nil || !strings.Contains(got.out, "Example: runicorn-grpc "+command) {
			t.Errorf("%s --help: %v\n%s", command, got.err, got.out)
		}
	}
	if Has("serve") {
		t.Error("there is no command serve")
	}
}

func TestShow_UnderstandsNamesOfExperiments(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"20261123_172639_4eee0c": "demo/20261123_172639_4eee0c",
		"20261123_172639_4":      "demo/20261123_172639_4eee0c",
		"baseline":               "demo/20261123_172639_4eee0c",
		"demo/baseline":          "demo/20261123_172639_4eee0c",
		"legacy/nlp/bert":        "legacy/20261123_172642_743b06",
		"legacy/20261123_172642": "legacy/20261123_172642_743b06",
		"viewers/legacy/experiments/20261123_172642_743b06": "legacy/20261123_172642_743b06",
		"odd values": "demo/20261123_172642_8ce137",
	} {
		got := runCommand(t, "show", given, "--json")
		var e struct {
			Viewer string
			RunID  string `json:"run_id"`
		}
		if err := json.Unmarshal([]byte(got.out), &e); err != nil || got.err != nil || e.Viewer+"/"+e.RunID != want {
			t.Errorf("%q is %s/%s: %v, %v", given, e.Viewer, e.RunID, got.err, err)
		}
	}
	for _, given := range []string{`"`, `*`, `\`, "", `a" OR run_id = "*`} {
		if got := runCommand(t, "show", given); got.err == nil {
			t.Errorf("%q is an experiment:\n%s", given, got.out)
		}
	}
}

func TestExport_SavesACheckedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "run.csv")
	got := runCommand(t, "export", "baseline", "-o", path, "-m", "lr", "--json")
	if got.err != nil {
		t.Fatal(got.err)
	}
	var saved struct {
		Path      string   `json:"path"`
		SizeBytes int      `json:"size_bytes"`
		SHA256    string   `json:"sha256"`
		Missing   []string `json:"missing_files"`
	}
	if err := json.Unmarshal([]byte(got.out), &saved); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	sum := sha256.Sum256(file)
	if err != nil || saved.Path != path || saved.SizeBytes != len(file) || saved.SHA256 != hex.EncodeToString(sum[:]) || saved.Missing == nil {
		t.Errorf("%+v of %d bytes: %v", saved, len(file), err)
	}
	if lines := strings.Count(string(file), "\n"); lines != 61 {
		t.Errorf("the file has %d lines:\n%s", lines, file)
	}
	folder := t.TempDir()
	if got := runCommand(t, "export", "baseline", "-o", folder, "--format", "parquet"); got.err != nil || !strings.HasPrefix(got.out, folder) {
		t.Errorf("%s", got.text())
	}
}

func TestProtos_SaysWhatItWroteAsJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	got := runCommand(t, "protos", dir, "--json")
	var written struct {
		Path      string `json:"path"`
		FileCount int    `json:"file_count"`
	}
	if err := json.Unmarshal([]byte(got.out), &written); err != nil || got.err != nil {
		t.Fatalf("%v: %s", err, got.text())
	}
	count := 0
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			count++
		}
		return err
	})
	if err != nil || written.Path != dir || written.FileCount != count || count == 0 {
		t.Errorf("%+v, and there are %d files: %v", written, count, err)
	}
}
