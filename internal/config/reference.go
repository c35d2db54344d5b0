package config

import (
	"fmt"
	"strings"
)

// Reference returns the page docs/CONFIG.md: each key of the file with its values, its
// default, and whether a reload applies it. It comes from the tables that the file is read by.
func Reference() []byte {
	b := []byte(`# The config file

One YAML file, strictly read: a key that is not on this page is an error, and ` + "`afxlb check FILE`" + `
says of each error line, path and remedy. [afxlb.example.yaml](../packaging/afxlb.example.yaml) has
all keys with comments, and ` + "`afxlb schema`" + ` prints the JSON Schema, by which editors complete and
check. This page is made from the same tables that the file is read by (` + "`make generate`" + `).

- Durations are as Go writes them: ` + "`250ms`, `5s`, `1h30m`" + `. Addresses are IP addresses; names of hosts
  are refused, since what one means changes without the file.
- A block that several places share can be written once: ` + "`health: &probe {…}`, then `health: *probe`" + `.
- **Reload** says whether ` + "`afxlb reload`" + ` applies a change; what it does not apply needs a restart, and it says so.

`)
	section(&b, "", topKeys.settings())
	b = append(b, healthPage...)
	return append(b, defaultsPage...)
}

// defaultsPage says what no table does.
const defaultsPage = `## How defaults count

- What a service says itself counts. What it does not say is that of ` + "`defaults`" + `, and else the default on this page.
- The blocks ` + "`health`, `persistence` and `gue`" + ` count key by key: a service with ` + "`health: {interval: 1s}`" + ` has all
  else from ` + "`defaults.health`" + `. All other values, lists too, take the place of those in ` + "`defaults`" + `.
- ` + "`health: {type: none}` and `persistence: none`" + ` turn off what the defaults turn on.
- A default counts where it fits: ` + "`snat-addresses`" + ` for services of mode ` + "`fullnat`" + `, ` + "`health.path`" + ` for those
  whose health type is ` + "`http` or `https`" + `, and so on. A default health check is for services of TCP, and for
  others if it names a ` + "`port`" + ` or needs none (` + "`icmp`" + `); a default ` + "`timeout`" + ` is never longer than a service's own ` + "`interval`" + `.
- An error in a default is reported once, at its line there.

` + "```yaml" + `
defaults:
  algorithm: maglev
  health: {type: http, path: /healthz, interval: 2s}
services:
  - name: web
    address: 192.0.2.10
    port: 80
    backends: [{address: 10.0.0.11}, {address: 10.0.0.12}]
  - name: shop
    address: 192.0.2.11
    port: 80
    health: {path: /up}          # still http, each 2s
    backends: [{address: 10.0.0.21}]
` + "```" + `
`

// section appends the table of one block and then those of the blocks in it.
func section(b *[]byte, path string, settings []setting) {
	title := "`" + path + "`"
	if path == "" {
		title = "The file"
	}
	*b = fmt.Appendf(*b, "## %s\n\n| key | values | default | reload | meaning |\n|---|---|---|---|---|\n", title)
	for _, k := range settings {
		*b = fmt.Appendf(*b, "| `%s` | %s | %s | %s | %s |\n", k.name, k.values(), k.absent(), k.applied(), k.about)
	}
	*b = append(*b, '\n')
	for _, k := range settings {
		if k.block != nil && k.name != "defaults" {
			section(b, strings.TrimPrefix(path+"."+k.name, ".")+k.brackets(), k.block())
		}
	}
}

func (k *setting) values() string {
	switch {
	case k.name == "defaults":
		return "the keys of a service, but for name, address, port and backends"
	case k.list && k.block != nil:
		return "a list, see below"
	case k.block != nil && k.any == nil:
		return strings.TrimPrefix(strings.TrimSuffix(k.words, "keys with values")+"see below", "see below, ")
	}
	return k.words
}

func (k *setting) absent() string {
	if k.required != "" {
		return "required"
	}
	return k.unset
}

func (k *setting) applied() string {
	switch {
	case k.restart:
		return "restart"
	case k.block != nil && !k.list && k.any == nil:
		return ""
	}
	return "yes"
}

func (k *setting) brackets() string {
	switch {
	case k.list:
		return "[]"
	case k.any != nil:
		return ".ADDRESS"
	}
	return ""
}
