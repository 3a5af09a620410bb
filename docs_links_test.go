package runicorngrpc

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codeBlock    = regexp.MustCompile("(?ms)^```.*?^```$|`[^`\n]*`")
	notInAnchor  = regexp.MustCompile(`[^\p{L}\p{N}\- _]`)
)

// TestDocs_LinksLeadSomewhere checks the relative links of all documents, and their anchors.
func TestDocs_LinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	documents := markdownFiles(t)
	if len(documents) < 20 {
		t.Fatalf("found %d documents", len(documents))
	}
	for _, document := range documents {
		for _, link := range markdownLink.FindAllStringSubmatch(codeBlock.ReplaceAllString(read(t, document), ""), -1) {
			target, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			path := document
			if target != "" {
				path = filepath.Join(filepath.Dir(document), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s links to %s, which is not there", document, link[1])
			} else if anchor != "" && !slices.Contains(anchors(read(t, path)), anchor) {
				t.Errorf("%s links to %s, which has no such heading", document, link[1])
			}
		}
	}
}

func markdownFiles(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && slices.Contains([]string{".git", "dist", "node_modules", "protos", "stubs", "testdata", ".protodeps"}, entry.Name()):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// anchors are the names by which the headings of a document are linked to.
func anchors(text string) (names []string) {
	for line := range strings.Lines(text) {
		if title, found := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); found && strings.HasPrefix(line, "#") {
			name := notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			names = append(names, strings.ReplaceAll(name, " ", "-"))
		}
	}
	return names
}
