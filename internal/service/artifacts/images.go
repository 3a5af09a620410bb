package artifacts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// listImages lists the images of a run in the order of logging. Everything comes from the
// event file, because the image list of 0.7.2 leaves out captions and times; that list is
// used only for which files still exist.
func listImages(ctx context.Context, t target.Run, key string) ([]page.Keyed[*runicornapiv1.Image], error) {
	served, err := servedImages(ctx, t)
	if err != nil {
		return nil, err
	}
	var out []page.Keyed[*runicornapiv1.Image]
	err = readMedia(ctx, t, func(m *eventlog.Media) error {
		file, err := restclient.MediaFile(m.Path)
		ok := err == nil && (served == nil || served[file]) // false for a path outside the run's folder
		if ok && (key == "" || convert.Text(m.Key) == key) {
			at := page.At(filter.IntValue(m.Position), "", "")
			out = append(out, page.Keyed[*runicornapiv1.Image]{Position: at, Item: imageOf(t.RunID, m)})
		}
		return nil
	})
	return out, err
}

// servedImages returns the image files that still exist; nil if the Viewer has no image
// list. It must be called before the event file is read: an image logged in between is
// then left out rather than listed without its file.
func servedImages(ctx context.Context, t target.Run) (map[restclient.RunFile]bool, error) {
	list, err := t.Client.Images(ctx, t.RunID)
	switch e, ok := errors.AsType[*restclient.Error](err); {
	case ok && e.Kind == restclient.KindUnsupported:
		return nil, nil //nolint:nilnil // 0.6 has images, but no list of them
	case err != nil:
		return nil, err
	}
	served := make(map[restclient.RunFile]bool, len(list.Images))
	for i := range list.Images {
		served[list.Images[i].File] = true
	}
	return served, nil
}

func imageOf(runID string, m *eventlog.Media) *runicornapiv1.Image {
	out := &runicornapiv1.Image{
		AssetId: imageID(runID, m.Position, m.Path), Key: convert.Text(m.Key),
		Caption: convert.Text(m.Caption), FileName: convert.Text(path.Base(m.Path)),
	}
	if m.HasStep {
		out.Step = &m.Step
	}
	if m.HasTime && m.Time > 0 {
		out.LogTime = convert.UnixTime(m.Time)
	}
	return out
}

// readMedia reads the image events of a run.
func readMedia(ctx context.Context, t target.Run, put func(*eventlog.Media) error) error {
	part, err := t.Client.EventFile(ctx, t.RunID, 0)
	if err != nil {
		return source.FilesUnsupported(err)
	}
	if part.State == restclient.RunGone {
		err = t.NotFound()
	} else {
		err = scanMedia(part, put)
	}
	return errors.Join(err, part.Close())
}

// scanMedia reads an event file from its beginning. The buffer grows to the longest line.
func scanMedia(r io.Reader, put func(*eventlog.Media) error) error {
	var parser eventlog.Parser
	handler := eventlog.Handler{Media: put}
	rest, offset, err := source.ScanEvents(r, &parser, func(work func() error) error { return work() }, handler)
	if err == nil {
		_, err = parser.Finish(rest, offset, handler)
	}
	return err
}

// maxImageLine is the maximum length in bytes of an image's line in the event file, and
// thereby of a caption.
const maxImageLine = 1 << 20

// findImage returns the file that an image's id stands for. It reads the line of the
// image again.
func findImage(ctx context.Context, t target.Run, id, rest string) (restclient.RunFile, error) {
	position, sum, ok := parseImageRef(rest)
	if !ok {
		return "", apierr.Invalid("asset_id", "is damaged")
	}
	part, err := t.Client.ReadFile(ctx, t.RunID, restclient.FileEvents, position, maxImageLine)
	if err != nil {
		return "", source.FilesUnsupported(err)
	}
	if part.State == restclient.RunGone {
		return "", errors.Join(t.NotFound(), part.Close())
	}
	file, err := imageAt(part, position, sum)
	if err = errors.Join(err, part.Close()); err != nil {
		return "", err
	}
	if file == "" {
		return "", restclient.NotFound(t.Name, "asset", id, "the event file has no such image there")
	}
	return file, nil
}

// imageAt reads the image event at the beginning of a part of the event file; empty if
// there is no such image.
func imageAt(part *restclient.FilePart, position int64, sum string) (file restclient.RunFile, err error) {
	if _, err := io.CopyN(io.Discard, part, position-part.Offset); err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("skip to the image event: %w", err)
	}
	line, err := io.ReadAll(io.LimitReader(part, maxImageLine))
	if err != nil {
		return "", err
	}
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	var parser eventlog.Parser
	_, err = parser.Finish(line, position, eventlog.Handler{Media: func(m *eventlog.Media) error {
		if shortSum(m.Path, 6) != sum {
			return nil
		}
		file, err = restclient.MediaFile(m.Path)
		return err
	}})
	return file, err
}

// mediaTypes maps the extensions of a run's own files. The Viewer would guess them from
// the tables of its machine.
var mediaTypes = map[string]string{
	".jsonl": "application/x-ndjson",
	".json":  "application/json",
	".txt":   "text/plain; charset=utf-8",
	".png":   "image/png",
	".jpg":   "image/jpeg",
	".jpeg":  "image/jpeg",
	".gif":   "image/gif",
	".webp":  "image/webp",
	".bmp":   "image/bmp",
	".svg":   "image/svg+xml",
}

// mediaTypeOf returns the media type for the extension of a file name.
func mediaTypeOf(name string) string {
	if t, ok := mediaTypes[strings.ToLower(path.Ext(name))]; ok {
		return t
	}
	return defaultMediaType
}
