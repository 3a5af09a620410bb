package artifacts

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// An assetID identifies one thing of a run, without a path of the Viewer's machine:
//
//	a<run>-<id>               an asset, by restclient's id
//	f<run>-<name>             a file that every run may have
//	i<run>-<position>-<sum>   an image, by the offset of its line in the event
//	                          file and a hash of the path in that line
//
// <run> is a hash of the run id, so that an id of another run is refused before any
// Viewer is called. It is not a secret and gives no access: every id is looked up again
// among what its own run has.
type assetID struct {
	kind byte
	rest string
}

const (
	assetKind = 'a'
	fileKind  = 'f'
	imageKind = 'i'
)

// assetIDForm matches every valid id.
var assetIDForm = regexp.MustCompile(`^([afi])([0-9a-f]{8})-([0-9a-z-]{1,64})$`)

// assetIDOf returns the id of one thing of a run.
func assetIDOf(kind byte, runID, rest string) string {
	return string(kind) + shortSum(runID, 4) + "-" + rest
}

// shortSum returns the first bytes of a text's hash, in hexadecimal.
func shortSum(text string, bytes int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:bytes])
}

// readAssetID parses an asset id and checks that it belongs to the run.
func readAssetID(t target.Run, id string) (assetID, error) {
	parts := assetIDForm.FindStringSubmatch(id)
	switch {
	case parts == nil:
		return assetID{}, apierr.Invalid("asset_id", "is not an asset id of this server: take it from ListAssets or ListImages")
	case parts[2] != shortSum(t.RunID, 4):
		return assetID{}, restclient.NotFound(t.Name, "asset", id, "it belongs to another experiment")
	}
	return assetID{kind: parts[1][0], rest: parts[3]}, nil
}

// imageID returns the id of the image whose line begins at the offset position.
func imageID(runID string, position int64, path string) string {
	return assetIDOf(imageKind, runID, strconv.FormatInt(position, 36)+"-"+shortSum(path, 6))
}

// parseImageRef parses the part of an image's id after the run.
func parseImageRef(rest string) (position int64, sum string, ok bool) {
	text, sum, found := strings.Cut(rest, "-")
	position, err := strconv.ParseInt(text, 36, 64)
	return position, sum, found && err == nil && position >= 0
}

// runFile is a file that every run may have. meta.json and assets.json are left out
// because they are full of paths of the Viewer's machine; GetExperiment and ListAssets
// return their content.
type runFile struct {
	id   string
	file restclient.RunFile
}

// runFiles has the order in which the files are listed.
var runFiles = []runFile{
	{"events", restclient.FileEvents},
	{"log", restclient.FileLogs},
	{"status", restclient.FileStatus},
	{"summary", restclient.FileSummary},
}

// assetTypes maps the kinds of assets to the contract's values.
var assetTypes = map[restclient.AssetKind]runicornapiv1.AssetType{
	restclient.AssetCode:       runicornapiv1.AssetType_ASSET_TYPE_CODE,
	restclient.AssetConfig:     runicornapiv1.AssetType_ASSET_TYPE_CONFIG,
	restclient.AssetDataset:    runicornapiv1.AssetType_ASSET_TYPE_DATASET,
	restclient.AssetPretrained: runicornapiv1.AssetType_ASSET_TYPE_PRETRAINED,
	restclient.AssetOutput:     runicornapiv1.AssetType_ASSET_TYPE_OUTPUT,
}
