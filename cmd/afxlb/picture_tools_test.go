//go:build tools

package main

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"maps"
	"slices"
	"testing"
)

// fewColours makes a picture of at most 256 colours of a PNG, the most frequent of those that
// differ: a page has few, but for the edges of its letters, and so a third of the size does.
func fewColours(t *testing.T, in []byte) []byte {
	t.Helper()
	from, err := png.Decode(bytes.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	size, times := from.Bounds(), map[color.Color]int{}
	for y := range size.Dy() {
		for x := range size.Dx() {
			times[from.At(x, y)]++
		}
	}
	often := slices.SortedFunc(maps.Keys(times), func(a, b color.Color) int { return cmp.Compare(times[b], times[a]) })
	var palette color.Palette
	for _, c := range often {
		if len(palette) < 256 && (len(palette) == 0 || apart(c, palette.Convert(c)) > 8) {
			palette = append(palette, c)
		}
	}
	to, nearest := image.NewPaletted(size, palette), map[color.Color]uint8{}
	for y := range size.Dy() {
		for x := range size.Dx() {
			c := from.At(x, y)
			i, ok := nearest[c]
			if !ok {
				i = uint8(palette.Index(c))
				nearest[c] = i
			}
			to.SetColorIndex(x, y, i)
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// apart is how far two colours are from each other, of 255, in the component in which they are
// the furthest.
func apart(a, b color.Color) int {
	x, y := color.RGBAModel.Convert(a).(color.RGBA), color.RGBAModel.Convert(b).(color.RGBA)
	d := func(a, b uint8) int { return max(int(a)-int(b), int(b)-int(a)) }
	return max(d(x.R, y.R), d(x.G, y.G), d(x.B, y.B))
}
