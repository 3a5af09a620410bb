package exports

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/export"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// ownFiles are the files of a run in a zip. A run may lack some of them.
var ownFiles = []restclient.RunFile{
	restclient.FileEvents, restclient.FileLogs, restclient.FileStatus, restclient.FileSummary, restclient.FileMeta,
}

// maxImages is the maximum number of images of one run in an export. It bounds memory.
const maxImages = 100_000

var errTooManyImages = apierr.Invalid("include_media", "the run has more than %d images", maxImages)

// sendZip packs the files of the runs while they are read.
func (j *exporter) sendZip(ctx context.Context, to fileSink) error {
	to.Begin(j.header(nil))
	out := j.newOutbox(ctx, to)
	archive := export.NewArchive(out, j.modified, j.runs, out.compute)
	for i, t := range j.targets {
		for _, file := range ownFiles {
			err := j.packFile(ctx, archive, j.runs[i], t, file)
			switch {
			case errors.Is(err, errNotServed):
				j.recordMissing(t, string(file))
			case err != nil && !errors.Is(err, errNoFile):
				return err
			}
		}
		if err := j.packImages(ctx, archive, j.runs[i], t); err != nil {
			return err
		}
	}
	if len(j.missing) > 0 {
		text := "The Viewer has lost these files, or does not serve them:\n" + strings.Join(j.missing, "\n") + "\n"
		if err := archive.Add(missingFilesName, strings.NewReader(text)); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return to.Finish(j.missing, j.limitations)
}

// missingFilesName is the file in a zip that lists the missing files.
const missingFilesName = "MISSING_FILES.txt"

// packFile adds one file of a run. It returns errNoFile, and adds nothing, if the run
// does not have the file.
func (j *exporter) packFile(ctx context.Context, archive *export.Archive, run *export.Run, t target.Run, file restclient.RunFile) (err error) {
	body, err := j.openFile(ctx, t, file)
	if err != nil {
		return source.FilesUnsupported(err)
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	return archive.Add(archive.Name(run, string(file)), body)
}

// packImages adds the logged images if they are requested. Images whose file is missing
// are named in the trailer.
func (j *exporter) packImages(ctx context.Context, archive *export.Archive, run *export.Run, t target.Run) error {
	images, err := j.media(ctx, t)
	if err != nil {
		return err
	}
	for _, m := range images {
		file, err := restclient.MediaFile(m.Path)
		if err != nil {
			j.recordMissing(t, m.Path) // a path outside of the run's folder
			continue
		}
		if archive.Has(archive.Name(run, string(file))) {
			continue
		}
		err = j.packFile(ctx, archive, run, t, file)
		if errors.Is(err, errNoFile) || errors.Is(err, errNotServed) {
			j.recordMissing(t, m.Path)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// recordMissing records a file that the Viewer has lost or does not serve.
func (j *exporter) recordMissing(t target.Run, path string) {
	if name := convert.Text(t.RunID + "/" + path); !slices.Contains(j.missing, name) {
		j.missing = append(j.missing, name)
	}
}

// media reads the image events of a run if they are requested and the Viewer serves them.
func (j *exporter) media(ctx context.Context, t target.Run) ([]eventlog.Media, error) {
	if !j.withMedia {
		return nil, nil
	}
	caps, err := t.Client.Capabilities(ctx)
	if err != nil || !caps.Has(restclient.CapFiles) {
		return nil, err
	}
	images := []eventlog.Media{}
	err = j.readEvents(ctx, t, j.compute(ctx), eventlog.Handler{Media: func(m *eventlog.Media) error {
		if len(images) == maxImages {
			return errTooManyImages
		}
		images = append(images, *m)
		return nil
	}})
	return images, err
}

// images returns the logged images with the functions that open them.
func (j *exporter) images(ctx context.Context, t target.Run) ([]export.Image, error) {
	media, err := j.media(ctx, t)
	if err != nil || media == nil {
		return nil, err
	}
	images := make([]export.Image, 0, len(media))
	for _, m := range media {
		images = append(images, export.Image{Media: m, Open: func() (io.ReadCloser, error) {
			file, err := restclient.MediaFile(m.Path)
			if err == nil {
				var body io.ReadCloser
				if body, err = j.openFile(ctx, t, file); err == nil {
					return body, nil
				}
			}
			if _, refused := errors.AsType[*restclient.IDError](err); !refused && !errors.Is(err, errNoFile) && !errors.Is(err, errNotServed) {
				return nil, err
			}
			j.recordMissing(t, m.Path)
			return nil, nil
		}})
	}
	return images, nil
}
