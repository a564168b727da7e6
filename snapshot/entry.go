package snapshot

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of envoy.service.discovery.v3. resources has one number in
// DiscoveryResponse and DeltaDiscoveryResponse, and so has the Any in Resource.
const (
	fieldResources = 2

	fieldResourceVersion = 1 // Resource
	fieldResourceAny     = 2
	fieldResourceName    = 3

	fieldAnyURL   = 1 // google.protobuf.Any
	fieldAnyValue = 2
)

// versionLen is how long a version is: 64 bits in hexadecimal.
const versionLen = 16

// Entry is the resource as a field of a DeltaDiscoveryResponse, with its name
// and version. Encoded messages may be joined, so a response is the entries of
// its resources one after the other: they are made once, with the resource, and
// every response that has them points to the same bytes.
func (r *Resource) Entry() []byte { return r.whole().entry }

// Bare is the resource as a field of a DiscoveryResponse, which has neither
// name nor version: a part of Entry.
func (r *Resource) Bare() []byte {
	w := r.whole()
	end := len(w.entry) - sizeField(len(w.Name))
	return w.entry[end-sizeField(w.sizeAny()) : end]
}

// Body is the encoded message, the value of a google.protobuf.Any: a part of
// Entry.
func (r *Resource) Body() []byte { return r.whole().body }

// Size is how many bytes the resource keeps: those of Entry, none when they are
// made again at need or r is nil.
func (r *Resource) Size() int {
	if r == nil {
		return 0
	}
	return len(r.entry)
}

func (r *Resource) sizeAny() int {
	return sizeField(len(r.Type.TypeURL())) + sizeField(len(r.body))
}

// sizeField is how much a field of n bytes takes whose number is below 16.
func sizeField(n int) int { return protowire.SizeTag(1) + protowire.SizeBytes(n) }

func appendHead(b []byte, field protowire.Number, n int) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(n)) //nolint:gosec // a size is not negative
}

// seal sets the body of r, which fill appends and which takes size bytes,
// within the entry of r, and its version where that is empty.
func (r *Resource) seal(size int, fill func([]byte) ([]byte, error)) error {
	url := r.Type.TypeURL()
	anySize := sizeField(len(url)) + sizeField(size)
	inner := sizeField(versionLen) + sizeField(anySize) + sizeField(len(r.Name))
	b := make([]byte, 0, sizeField(inner))
	b = appendHead(b, fieldResources, inner)
	b = appendHead(b, fieldResourceVersion, versionLen)
	version := len(b)
	b = append(b, make([]byte, versionLen)...)
	b = appendHead(b, fieldResourceAny, anySize)
	b = append(appendHead(b, fieldAnyURL, len(url)), url...)
	b = appendHead(b, fieldAnyValue, size)
	start := len(b)
	b, err := fill(b)
	if err != nil {
		return err
	}
	if len(b)-start != size {
		return fmt.Errorf("it takes %d bytes and not %d", len(b)-start, size)
	}
	r.body = b[start:len(b):len(b)]
	if r.Version == "" {
		r.Version = versionOf(r.body)
	}
	r.sum = r.hash()
	copy(b[version:version+versionLen], r.Version)
	r.entry = append(appendHead(b, fieldResourceName, len(r.Name)), r.Name...)
	return nil
}

// With is r with another body, the parts joined. Its version is the one given,
// of 16 characters, or a hash of the body when that is empty.
func (r *Resource) With(version string, parts ...[]byte) *Resource {
	made := *r
	made.Version, made.lean = version, nil
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	// It cannot fail: the parts are as long as they are.
	_ = made.seal(size, func(b []byte) ([]byte, error) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b, nil
	})
	return &made
}
