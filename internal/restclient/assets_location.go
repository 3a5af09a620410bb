package restclient

import (
	"context"
	"regexp"
	"strings"
	"unicode"
)

// User programs write assets.json, which holds the paths of asset copies, and 0.6.0 serves
// every file of its storage for every run. So the path in that file is never requested as
// it is: it is parsed here and rebuilt from the Viewer's storage root, or the run's folder,
// and a location that the SDK uses for that run. The content store needs no such check: its
// names are hashes of the contents, which only someone who has seen the contents knows, and
// runs with the same contents share them.

// copyLocation is the location of an asset's copy. Asset holds a pointer, so that printing
// an Asset does not show it.
type copyLocation struct {
	// path has forward slashes and is relative to the storage's archive or the run's
	// folder.
	path    string
	archive bool
}

// archivePaths match the SDK's paths: contents and manifests by their hashes, and outputs
// that each run overwrites.
var archivePaths = regexp.MustCompile(
	`^(?:blobs/([0-9a-f]{2})/([0-9a-f]{64})|manifests/[A-Za-z0-9_-]+/([0-9a-f]{2})/([0-9a-f]{64})\.json|outputs/rolling/([^/]+)/.+)$`)

// parseCopyLocation parses an archive_path of a run. It returns nil if copies of that run
// cannot be there.
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

// parseArchivePath parses a path into the archive. Parent folders may also be named
// archive.
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

// rollingFolder returns the SDK's name for the folder of a run's outputs.
func rollingFolder(runID string) string {
	leaf := []rune(strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsNumber(r) || strings.ContainsRune("-_.", r) {
			return r
		}
		return '_'
	}, runID))
	return string(leaf[:min(len(leaf), 80)])
}

// isManifest reports whether the Viewer packs the contents listed in the file.
func (p *copyLocation) isManifest() bool { return p.archive && strings.HasPrefix(p.path, "manifests/") }

// absolutePath returns the path of an asset's copy in the Viewer's notation.
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

// storageRoot returns the folder that a location is relative to.
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

// joinPath appends to a path of the Viewer's machine.
func joinPath(dir, file string) string {
	if strings.Contains(dir, `\`) && !strings.Contains(dir, "/") { // a Viewer on Windows
		return dir + `\` + strings.ReplaceAll(file, "/", `\`)
	}
	return strings.TrimRight(dir, "/") + "/" + file
}

// treatedAsManifest reports whether the Viewer, judging by the path alone, treats a file as
// a manifest and packs the files it names. A malicious manifest could name any file of the
// Viewer's machine.
func treatedAsManifest(path string) bool {
	return strings.HasSuffix(path, ".json") && strings.Contains(path, "manifests")
}
