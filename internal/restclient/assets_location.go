package restclient

import (
	"context"
	"regexp"
	"strings"
	"unicode"
)

// Where copies of assets lie is known from assets.json, which programs of users
// write; and 0.6.0 serves every file of its storage to every run. So what is
// asked for is never the path of that file: it is taken apart here, and put
// together again of the Viewer's own root, or of the run's own folder, and a
// place that the SDK has for that run. A name in the store of contents is a
// hash of them: who knows it has seen them, and runs with the same contents
// share them.

// copyLocation is where the copy of an asset lies. It is behind a pointer so that a
// printed Asset does not show it.
type copyLocation struct {
	// path has forward slashes, and begins in the archive of the storage or in
	// the folder of the run.
	path    string
	archive bool
}

// archivePaths are those of the SDK: contents by their hash, lists of contents
// by theirs, and outputs that each run overwrites.
var archivePaths = regexp.MustCompile(
	`^(?:blobs/([0-9a-f]{2})/([0-9a-f]{64})|manifests/[A-Za-z0-9_-]+/([0-9a-f]{2})/([0-9a-f]{64})\.json|outputs/rolling/([^/]+)/.+)$`)

// parseCopyLocation reads an archive_path of a run; nil if it is none where a copy of
// that run can lie.
func parseCopyLocation(runID, path string) *copyLocation {
	if checkText("path", path) != nil {
		return nil
	}
	path = strings.ReplaceAll(path, `\`, "/")
	if p := parseArchivePath(runID, path); p != nil {
		return p
	}
	if file := withinRun(runID, path); file != "" {
		return &copyLocation{path: string(file)}
	}
	return nil
}

// parseArchivePath reads a path into the archive. Folders above it may have its
// name too.
func parseArchivePath(runID, path string) *copyLocation {
	const folder = "/archive/"
	for rest, found := path, true; found; {
		if _, rest, found = strings.Cut(rest, folder); !found {
			break
		}
		parts := archivePaths.FindStringSubmatch(rest)
		if parts == nil || !strings.HasPrefix(parts[2], parts[1]) || !strings.HasPrefix(parts[4], parts[3]) {
			continue
		}
		isOwn := parts[5] == "" || parts[5] == rollingFolder(runID)
		if file, err := MediaFile(rest); err == nil && isOwn {
			return &copyLocation{path: string(file), archive: true}
		}
	}
	return nil
}

// rollingFolder is what the SDK makes of a run id for the folder of its outputs.
func rollingFolder(runID string) string {
	leaf := []rune(strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsNumber(r) || strings.ContainsRune("-_.", r) {
			return r
		}
		return '_'
	}, runID))
	return string(leaf[:min(len(leaf), 80)])
}

// isManifest says that the Viewer packs the contents that are listed there.
func (p *copyLocation) isManifest() bool { return p.archive && strings.HasPrefix(p.path, "manifests/") }

// absolutePath returns where the copy of an asset lies, in the Viewer's own notation.
func (c *Client) absolutePath(ctx context.Context, runID string, asset *Asset) (string, error) {
	dir, err := c.storageRoot(ctx, runID, asset.location)
	if err != nil {
		return "", err
	}
	path := joinPath(dir, asset.location.path)
	if treatedAsManifest(path) && !asset.location.isManifest() {
		return "", c.noCopy(asset, "the Viewer takes it for a list of other files, and would serve those")
	}
	return path, nil
}

// storageRoot is the folder that a location is relative to.
func (c *Client) storageRoot(ctx context.Context, runID string, p *copyLocation) (string, error) {
	if !p.archive {
		run, err := c.dir(ctx, runID)
		return run.dir, err
	}
	health, err := c.Health(ctx)
	if err != nil {
		return "", err
	}
	if health.Storage.Value == "" {
		return "", c.refused(call{cap: capHealth}, KindMalformed, "the Viewer does not say where its storage is")
	}
	return joinPath(health.Storage.Value, "archive"), nil
}

// joinPath continues a path of the Viewer's machine.
func joinPath(dir, file string) string {
	if strings.Contains(dir, `\`) && !strings.Contains(dir, "/") { // a Viewer on Windows
		return dir + `\` + strings.ReplaceAll(file, "/", `\`)
	}
	return strings.TrimRight(dir, "/") + "/" + file
}

// treatedAsManifest says that the Viewer, by nothing but its path, takes a
// file for a list of contents, and packs what it names: any file of its
// machine, if whoever wrote the list wanted so.
func treatedAsManifest(path string) bool {
	return strings.HasSuffix(path, ".json") && strings.Contains(path, "manifests")
}
