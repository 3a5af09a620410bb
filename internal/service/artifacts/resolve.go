package artifacts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// artifact is an item of a Viewer's list of artifacts. Only that list has the current
// version of an alias.
type artifact struct {
	*fleet.Viewer
	restclient.Artifact
}

// artifactVersion is one version of an artifact.
type artifactVersion struct {
	artifact
	number int64
}

// ref identifies the version in requests to the Viewer. With the type, the Viewer does
// not have to guess it.
func (v artifactVersion) ref() restclient.VersionRef {
	return restclient.VersionRef{Name: v.Artifact.Name.Value, Version: v.number, Type: v.Type.Value}
}

// versionID is the documented id of a version.
func versionID(name string, number int64) string {
	return fmt.Sprintf("%s:v%d", convert.Text(name), number)
}

// id is the documented id of the version.
func (v artifactVersion) id() string { return versionID(v.Artifact.Name.Value, v.number) }

// versionRequest is a request about one version.
type versionRequest interface {
	GetViewer() string
	GetName() string
	// GetVersion is 0 where the request has none: validation refuses others.
	GetVersion() int32
}

// aliasRequest is a request that may also name the version by an alias.
type aliasRequest interface {
	versionRequest
	GetAlias() string
	GetType() string
}

// artifactID is a parsed id of one of the documented forms: name:vN, name:N, name:alias
// or name. At most one of number and alias is set.
type artifactID struct {
	name, alias string
	number      int64
}

// versionForm matches version numbers in an id; everything else is an alias.
var versionForm = regexp.MustCompile(`^v?[+-]?[0-9]+$`)

// parseArtifactID parses an id. No artifact name contains a colon: the SDK refuses it.
func parseArtifactID(id string) (artifactID, error) {
	name, rest, found := strings.Cut(id, ":")
	if err := restclient.CheckID("name", name); err != nil {
		return artifactID{}, err
	}
	if !found {
		return artifactID{name: name}, nil
	}
	if rest == "" {
		return artifactID{}, apierr.Invalid("name", "must not end with a colon")
	}
	if !versionForm.MatchString(rest) {
		return artifactID{name: name, alias: rest}, nil
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(rest, "v"), 10, 32)
	if err != nil || n < 1 {
		return artifactID{}, apierr.Invalid("name", "names a version, which must be from 1 to 2147483647")
	}
	return artifactID{name: name, number: n}, nil
}

// requestedID combines the id of a request with its version and alias fields.
func requestedID(req versionRequest, alias string) (artifactID, error) {
	id, err := parseArtifactID(req.GetName())
	if err != nil {
		return artifactID{}, err
	}
	given := req.GetVersion() != 0 || alias != ""
	if given && (id.number != 0 || id.alias != "") {
		return artifactID{}, apierr.Invalid("name", "names a version already, so version and alias must not be set")
	}
	if given {
		id.number, id.alias = int64(req.GetVersion()), alias
	}
	return id, nil
}

// resolve returns the version that a request names.
func (s *Service) resolve(ctx context.Context, req aliasRequest) (artifactVersion, error) {
	id, err := requestedID(req, req.GetAlias())
	if err != nil {
		return artifactVersion{}, err
	}
	a, err := s.findArtifact(ctx, req.GetViewer(), id.name, req.GetType())
	if err != nil {
		return artifactVersion{}, err
	}
	v := artifactVersion{artifact: a, number: id.number}
	switch {
	case id.alias != "":
		if v.number = a.Aliases[id.alias].Value; v.number < 1 {
			return artifactVersion{}, a.aliasNotFound(id.alias)
		}
	case v.number == 0:
		v.number = a.LatestVersion.Value
	}
	return v, nil
}

// exactVersion is the version that a mutation applies to. It is named by its number,
// because an alias could move to a version that the caller has not seen.
type exactVersion struct {
	*fleet.Viewer
	restclient.VersionRef
}

// id is the documented id of the version.
func (v exactVersion) id() string { return versionID(v.VersionRef.Name, v.Version) }

// resolveExact returns the version that a mutation applies to.
func (s *Service) resolveExact(ctx context.Context, req versionRequest) (exactVersion, error) {
	id, err := requestedID(req, "")
	if err != nil {
		return exactVersion{}, err
	}
	switch {
	case id.alias != "":
		return exactVersion{}, apierr.Invalid("name", "must be a name, name:vN or name:N: an alias may move on before the change is made")
	case id.number == 0:
		return exactVersion{}, apierr.Invalid("version", "must be set, or be in the name as name:vN")
	}
	v, err := s.resolver.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return exactVersion{}, err
	}
	return exactVersion{v, restclient.VersionRef{Name: id.name, Version: id.number}}, nil
}

// findArtifact finds an artifact of a Viewer by its name, and by its type if several
// artifacts share the name.
func (s *Service) findArtifact(ctx context.Context, viewer, name, artifactType string) (artifact, error) {
	if err := restclient.CheckID("name", name); err != nil {
		return artifact{}, err
	}
	v, err := s.resolver.Fleet.Get(ctx, viewer)
	if err != nil {
		return artifact{}, err
	}
	all, _, err := v.Client.Artifacts(ctx, artifactType)
	if err != nil {
		return artifact{}, err
	}
	var types []string
	found := artifact{Viewer: v}
	for i := range all {
		if all[i].Name.Value == name {
			found.Artifact = all[i]
			types = append(types, convert.Text(all[i].Type.Value))
		}
	}
	switch len(types) {
	case 0:
		return artifact{}, restclient.NotFound(v.Name, "artifact", name, "")
	case 1:
		return found, nil
	}
	slices.Sort(types)
	return artifact{}, apierr.Invalid("type", "must be set, since several artifacts have this name: %s", strings.Join(types, ", "))
}

// aliasNotFound is the error for an unknown alias; it lists the known ones.
func (a artifact) aliasNotFound(alias string) error {
	known := slices.Sorted(maps.Keys(a.Aliases))
	return restclient.NotFound(a.Viewer.Name, "artifact", a.Artifact.Name.Value+":"+alias, "its aliases are "+strings.Join(known, ", "))
}

// aliasesOf lists the aliases that currently name a version.
func (a artifact) aliasesOf(number int64) []string {
	var out []string
	for alias, n := range a.Aliases {
		if n.Value == number {
			out = append(out, convert.Text(alias))
		}
	}
	slices.Sort(out)
	return out
}

// listArtifacts reads the lists of artifacts of the selected Viewers.
func (s *Service) listArtifacts(ctx context.Context, viewer, artifactType string) (*target.Results[[]restclient.Artifact], error) {
	lists, err := target.FanOut(ctx, s.resolver, viewer, func(ctx context.Context, v *fleet.Viewer) ([]restclient.Artifact, error) {
		all, _, err := v.Client.Artifacts(ctx, artifactType)
		return all, err
	})
	return lists, unsupportedByAll(err)
}

// unsupportedByAll maps the error of a fan-out to UNIMPLEMENTED if every Viewer has
// answered that it does not support the request.
func unsupportedByAll(err error) error {
	f, ok := errors.AsType[*apierr.Error](err)
	if !ok || f.Code != codes.Unavailable {
		return err
	}
	joined, ok := f.Cause.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var first error
	for _, each := range joined.Unwrap() {
		e, ok := errors.AsType[*restclient.Error](each)
		if !ok || e.Kind != restclient.KindUnsupported {
			return err
		}
		if first == nil {
			first = e
		}
	}
	return first
}

// keyedArtifacts gives each artifact its position in the order by name.
func keyedArtifacts(lists *target.Results[[]restclient.Artifact]) []page.Keyed[*runicornapiv1.Artifact] {
	var out []page.Keyed[*runicornapiv1.Artifact]
	for _, a := range lists.Succeeded {
		for i := range a.Value {
			item := &a.Value[i]
			out = append(out, page.Keyed[*runicornapiv1.Artifact]{
				Position: page.At(filter.OptionalText(item.Name.Value), a.Viewer.Name, item.Type.Value+"/"+item.Name.Value),
				Item:     artifactOf(a.Viewer.Name, item),
			})
		}
	}
	return out
}
