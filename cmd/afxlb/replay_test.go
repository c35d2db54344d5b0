package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/capture"
	"github.com/afxlb/afxlb/internal/replay"
)

// replayData is where package replay has its captures, and what they give.
const replayData = "../../internal/replay/testdata/"

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestReplay: the files of testdata, as the user replays them.
func TestReplay(t *testing.T) {
	for _, mode := range []string{"nat", "dsr", "fullnat", "ipip", "gue", "gre"} {
		out := filepath.Join(t.TempDir(), "out.pcap")
		code, stdout, stderr := cli("replay", "--config", replayData+mode+".yaml", replayData+mode+".pcap", out)
		if code != exitDone || stderr != "" || !strings.Contains(stdout, "forwarded") {
			t.Fatalf("%s: exit code %d, %q %q", mode, code, stdout, stderr)
		}
		if !bytes.Equal(readFile(t, out), readFile(t, replayData+mode+".out.pcap")) {
			t.Errorf("%s: another result than expected", mode)
		}
	}
}

// TestReplayFormats: whatever form the files have, the packets are the same.
func TestReplayFormats(t *testing.T) {
	dir := t.TempDir()
	list := func(path string) (packets []capture.Packet, f capture.Format) {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		r, err := capture.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		for {
			p, err := r.Next()
			if err == io.EOF {
				return packets, r.Format()
			} else if err != nil {
				t.Fatal(err)
			}
			p.Data = bytes.Clone(p.Data)
			packets = append(packets, p)
		}
	}
	in, _ := list(replayData + "nat.pcap")
	want, _ := list(replayData + "nat.out.pcap")
	for _, c := range []struct {
		in, out string
		format  capture.Format // of out
	}{
		{"in.pcapng", "out.pcapng", capture.Format{NG: true}},
		{"in.pcapng.gz", "out.pcap", capture.Format{Nano: true}},
		{"in.pcap", "out.pcapng.gz", capture.Format{NG: true}},
		{"in.pcap.gz", "out.pcap.gz", capture.Format{}},
		{"in.nano", "out", capture.Format{Nano: true}},
	} {
		var b bytes.Buffer
		var to io.Writer = &b
		zipped := gzip.NewWriter(&b)
		if strings.HasSuffix(c.in, ".gz") {
			to = zipped
		}
		w, err := capture.NewWriter(to, capture.Format{NG: strings.Contains(c.in, "ng"), Nano: strings.Contains(c.in, "nano")}, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		for i := range in {
			_ = w.Write(&in[i])
		}
		_ = w.Flush()
		if to == zipped {
			zipped.Close()
		}
		from, out := filepath.Join(dir, c.in), filepath.Join(dir, c.out)
		if err := os.WriteFile(from, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := cli("replay", "-c", replayData+"nat.yaml", from, out); code != exitDone || stderr != "" {
			t.Fatalf("%s: exit code %d, %q", c.in, code, stderr)
		}
		got, format := list(out)
		if format != c.format || len(got) != len(want) {
			t.Fatalf("%s: %d packets as %+v; want %d as %+v", c.out, len(got), format, len(want), c.format)
		}
		for i := range got {
			if !bytes.Equal(got[i].Data, want[i].Data) || !got[i].Time.Equal(want[i].Time) {
				t.Fatalf("%s: packet %d is another one", c.out, i+1)
			}
		}
	}
}

// TestReplayJSON: a line for each packet, and nothing else.
func TestReplayJSON(t *testing.T) {
	code, stdout, stderr := cli("replay", "--config", replayData+"nat.yaml", "--json", "--backend-down", "b0", "--backend-down", "b1@0s", replayData+"nat.pcap")
	if code != exitDone || stderr != "" {
		t.Fatalf("exit code %d, %q", code, stderr)
	}
	n, to := 0, map[string]int{}
	for line := range strings.Lines(stdout) {
		var packet struct {
			Index                       int
			Verdict, Backend, Direction string
		}
		if err := json.Unmarshal([]byte(line), &packet); err != nil || packet.Index != n+1 {
			t.Fatalf("%v: %s", err, line)
		}
		n++
		to[packet.Verdict+" "+packet.Backend]++
	}
	if to["forwarded b2"] == 0 || to["forwarded b0"]+to["forwarded b1"] > 0 || to["passed "] == 0 {
		t.Errorf("%v", to)
	}
}

// TestReplayKeeps: what is wrong with the command line costs nobody a file.
func TestReplayKeeps(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.pcap")
	if err := os.WriteFile(out, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, _ := cli("replay", "--config", replayData+"nat.yaml", "--backend-down", "nobody", replayData+"nat.pcap", out)
	if got := readFile(t, out); code != exitUsage || string(got) != "kept" {
		t.Errorf("exit code %d, the file has %q", code, got)
	}
}

// TestReplaySays what is made up and what is missing.
func TestReplaySays(t *testing.T) {
	config := write(t, goodConfig)
	code, stdout, stderr := cli("replay", "--config", config, replayData+"nat.pcap")
	if code != exitDone || !strings.Contains(stderr, "no neighbours for [10.0.0.11]") || !strings.Contains(stdout, "passed") {
		t.Errorf("exit code %d, %q %q", code, stdout, stderr)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no file":      {[]string{"--config", config}, exitUsage, "wants IN"},
		"three files":  {[]string{"--config", config, "a", "b", "c"}, exitUsage, "got 3"},
		"no such file": {[]string{"--config", config, "/nonexistent/in.pcap"}, exitFailed, "/nonexistent/in.pcap"},
		"no capture":   {[]string{"--config", config, config}, exitFailed, "want pcap or pcapng"},
		"nowhere to":   {[]string{"--config", config, replayData + "nat.pcap", "/nonexistent/out.pcap"}, exitFailed, "/nonexistent/out.pcap"},
		"onto itself":  {[]string{"--config", config, replayData + "nat.pcap", replayData + "../testdata/nat.pcap"}, exitUsage, "is what is read"},
		"no config":    {[]string{"--config", "/nonexistent/c.yaml", "x"}, exitFailed, "/nonexistent/c.yaml"},
		"wrong config": {[]string{"--config", write(t, "services: 1"), "x"}, exitUsage, "want a list"},
		"time":         {[]string{"--backend-down", "a@soon", "x"}, exitUsage, "--backend-down: \"soon\" is no time"},
		"weight":       {[]string{"--backend-weight", "a@1", "x"}, exitUsage, "--backend-weight: "},
		"nobody":       {[]string{"--config", config, "--backend-drain", "z@1", replayData + "nat.pcap"}, exitUsage, `no backend is called "z"; there are ["web/a"]`},
		"MAC":          {[]string{"--mac", "x", "x"}, exitUsage, "--mac: \"x\" is not a MAC address"},
		"group's MAC":  {[]string{"--mac", "ff:ff:ff:ff:ff:ff", "x"}, exitUsage, "group"},
		"address":      {[]string{"--address", "10.0.0.1,x", "x"}, exitUsage, `--address "x"`},
		"no address": {[]string{"--config", write(t, strings.Replace(goodConfig, "port: 80", "port: 80, mode: ipip", 1)), replayData + "nat.pcap"},
			exitDone, "made up, [192.0.0.8]: name --address"},
		"MTU":           {[]string{"--mtu", "-1", "x"}, exitUsage, "--mtu -1"},
		"unknown flag":  {[]string{"--backend-gone", "x"}, exitUsage, "unknown flag"},
		"somebody else": {[]string{"--config", config, "--mac", "02:00:00:00:00:77", replayData + "nat.pcap"}, exitDone, "made up"},
	} {
		if code, _, stderr := cli(append([]string{"replay"}, c.args...)...); code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, want %d; %q, want %q", name, code, c.code, stderr, c.want)
		}
	}
	var said bytes.Buffer
	(&replayFlags{json: true}).tell(&env{stderr: &said}, &replay.Summary{TooLong: 2})
	if !strings.Contains(said.String(), "2 packets are longer than 3648 bytes") {
		t.Errorf("of what is too long: %q", said.String())
	}
}
