package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/afxlb/afxlb/internal/api"
)

func addSocketFlag(c *cobra.Command, path *string) {
	c.Flags().StringVar(path, "socket", api.DefaultSocket, "control socket")
}

// reader makes a command that asks a running balancer by ask and prints the
// answer by print, or as the JSON that it came as.
func reader[T any](e *env, c *cobra.Command, ask func(*cobra.Command, *api.Client) (T, error), print func(io.Writer, T)) *cobra.Command {
	var socket string
	var asJSON bool
	addSocketFlag(c, &socket)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Args = exactArgs()
	c.RunE = func(c *cobra.Command, _ []string) error {
		a := api.NewClient(socket)
		if !asJSON {
			v, err := ask(c, a)
			if err == nil {
				print(e.stdout, v)
			}
			return err
		}
		answer := bytes.NewBuffer(make([]byte, 0, room)) // only a whole one is printed
		if _, err := ask(c, a.Raw(answer)); err != nil {
			return err
		}
		return printJSON(e.stdout, answer.Bytes())
	}
	return c
}

// room is for the list of 20,000 backends. Memory that is fresh costs nothing where no answer
// comes to lie; a buffer that grows to it clears and copies three times as much.
const room = 16 << 20

// printJSON prints an answer, indented if somebody might read all of it. A long one
// goes out as it came, an element a line, since to indent it takes longer than all else.
func printJSON(w io.Writer, answer []byte) error {
	const readable = 64 << 10
	if len(answer) <= readable {
		var indented bytes.Buffer
		if err := json.Indent(&indented, answer, "", "  "); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		answer = indented.Bytes()
	}
	_, err := w.Write(answer)
	return err
}

// table prints aligned columns.
func table(w io.Writer, head string, rows func(row func(cells ...any))) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ReplaceAll(head, " ", "\t"))
	rows(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			if c == "" {
				c = "-"
			}
			fmt.Fprint(tw, c)
		}
		fmt.Fprintln(tw)
	})
	tw.Flush() // see outlet
}

// amount prints a large number in four or five characters.
func amount(n uint64) string {
	units := []struct {
		size uint64
		name string
	}{{1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}}
	for _, u := range units {
		if n >= u.size {
			return fmt.Sprintf("%.1f%s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprint(n)
}
