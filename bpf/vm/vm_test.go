package vm

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// machine returns a program of these instructions, with a map of each kind.
func machine(t *testing.T, program ...asm.Instruction) (*Machine, error) {
	t.Helper()
	return New(&ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"hash":  {Name: "hash", Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 2},
			"lru":   {Name: "lru", Type: ebpf.LRUHash, KeySize: 4, ValueSize: 4, MaxEntries: 2},
			"array": {Name: "array", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 2, Contents: []ebpf.MapKV{{Key: uint32(1), Value: uint32(7)}}},
		},
		Programs: map[string]*ebpf.ProgramSpec{"p": {Name: "p", Instructions: program}},
	}, "p")
}

// result runs a program on a frame of the bytes 1 to 4.
func result(t *testing.T, program ...asm.Instruction) (uint32, error) {
	t.Helper()
	m, err := machine(t, program...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Run([]byte{1, 2, 3, 4}, 9)
}

// raw is an instruction by its code, with r0 as the destination and r2 as the source.
func raw(code asm.OpCode, value int64) asm.Instruction {
	return asm.Instruction{OpCode: code, Dst: asm.R0, Src: asm.R2, Constant: value}
}

func TestArithmetic(t *testing.T) {
	const big = 0x8000_0001_8000_0003 // r0
	for _, test := range []struct {
		op     asm.ALUOp
		b      int64
		w64    uint64
		w32    uint32
		noRegs bool
	}{
		{asm.Mov, -2, 0xffff_ffff_ffff_fffe, 0xffff_fffe, false},
		{asm.Add, 5, 0x8000_0001_8000_0008, 0x8000_0008, false},
		{asm.Sub, -1, 0x8000_0001_8000_0004, 0x8000_0004, false},
		{asm.Mul, 2, 0x0000_0003_0000_0006, 6, false},
		{asm.Div, 2, 0x4000_0000_c000_0001, 0x4000_0001, false},
		{asm.Div, 0, 0, 0, false},
		{asm.Mod, 2, 1, 1, false},
		{asm.Mod, 0, big, 0x8000_0003, false},
		{asm.Or, 0x10, 0x8000_0001_8000_0013, 0x8000_0013, false},
		{asm.And, -4, 0x8000_0001_8000_0000, 0x8000_0000, false},
		{asm.Xor, 1, 0x8000_0001_8000_0002, 0x8000_0002, false},
		{asm.LSh, 1, 0x0000_0003_0000_0006, 6, false},
		{asm.RSh, 1, 0x4000_0000_c000_0001, 0x4000_0001, false},
		{asm.ArSh, 1, 0xc000_0000_c000_0001, 0xc000_0001, false},
		{asm.Neg, 0, 0x7fff_fffe_7fff_fffd, 0x7fff_fffd, true},
	} {
		for _, source := range []asm.Source{asm.ImmSource, asm.RegSource} {
			if source == asm.RegSource && test.noRegs {
				continue
			}
			for class, want := range map[asm.Class]uint64{asm.ALU64Class: test.w64, asm.ALUClass: uint64(test.w32)} {
				code := asm.OpCode(class).SetALUOp(test.op).SetSource(source)
				program := []asm.Instruction{
					asm.LoadImm(asm.R0, -0x7fff_fffe_7fff_fffd, asm.DWord), asm.LoadImm(asm.R2, test.b, asm.DWord), raw(code, test.b),
					asm.LoadImm(asm.R3, int64(want), asm.DWord),
					asm.JEq.Reg(asm.R0, asm.R3, "right"), asm.Mov.Imm(asm.R0, 0), asm.Return(),
					asm.Mov.Imm(asm.R0, 1).WithSymbol("right"), asm.Return(),
				}
				program[4].Offset = 2
				if got, err := result(t, program...); got != 1 || err != nil {
					t.Errorf("%v %d: not %#x, %v", code, test.b, want, err)
				}
			}
		}
	}
}

func TestSwap(t *testing.T) {
	for _, test := range []struct {
		in   asm.Instruction
		want uint32
	}{
		{asm.HostTo(asm.BE, asm.R0, asm.Half), 0x0403},
		{asm.HostTo(asm.BE, asm.R0, asm.Word), 0x04030201},
		{asm.HostTo(asm.BE, asm.R0, asm.DWord), 0},
		{asm.HostTo(asm.LE, asm.R0, asm.Half), 0x0304},
		{asm.HostTo(asm.LE, asm.R0, asm.Word), 0x01020304},
		{asm.BSwap(asm.R0, asm.Word), 0x04030201},
	} {
		if got, err := result(t, asm.LoadImm(asm.R0, 0x01020304, asm.DWord), test.in, asm.Return()); got != test.want || err != nil {
			t.Errorf("%v: %#x, %v; want %#x", test.in, got, err, test.want)
		}
	}
}

func TestJumps(t *testing.T) {
	const more, less, same = 1, 2, 4
	for op, when := range map[asm.JumpOp][2]int{ // unsigned or equal; signed
		asm.JEq: {same, same}, asm.JNE: {more | less, more | less}, asm.JGT: {more, 0}, asm.JGE: {more | same, 0}, asm.JLT: {less, 0},
		asm.JLE: {less | same, 0}, asm.JSGT: {0, more}, asm.JSGE: {0, more | same}, asm.JSLT: {0, less}, asm.JSLE: {0, less | same},
	} {
		for _, class := range []asm.Class{asm.JumpClass, asm.Jump32Class} {
			for _, source := range []asm.Source{asm.ImmSource, asm.RegSource} {
				for _, n := range [][2]int64{{3, 2}, {2, 3}, {2, 2}, {-1, 2}, {2, -1}} {
					unsigned, signed := same, same
					if a, b := uint32(n[0]), uint32(n[1]); a > b {
						unsigned = more
					} else if a < b {
						unsigned = less
					}
					if n[0] > n[1] {
						signed = more
					} else if n[0] < n[1] {
						signed = less
					}
					want := uint32(0)
					if when[0]&unsigned != 0 && when[0] != 0 || when[0] == 0 && when[1]&signed != 0 {
						want = 1
					}
					jump := raw(asm.OpCode(class).SetJumpOp(op).SetSource(source), n[1])
					jump.Offset = 2
					got, err := result(t, asm.Mov.Imm(asm.R0, int32(n[0])), asm.Mov.Imm(asm.R2, int32(n[1])), jump,
						asm.Mov.Imm(asm.R0, 0), asm.Return(), asm.Mov.Imm(asm.R0, 1), asm.Return())
					if got != want || err != nil {
						t.Errorf("%v of %d and %d: %d, %v; want %d", jump.OpCode, n[0], n[1], got, err, want)
					}
				}
			}
		}
	}
}

func TestMemory(t *testing.T) {
	data := asm.LoadMem(asm.R2, asm.R1, 0, asm.Word)
	for name, test := range map[string]struct {
		program []asm.Instruction
		want    uint32
		wrong   string
	}{
		"byte":        {[]asm.Instruction{data, asm.LoadMem(asm.R0, asm.R2, 3, asm.Byte)}, 4, ""},
		"half":        {[]asm.Instruction{data, asm.LoadMem(asm.R0, asm.R2, 1, asm.Half)}, 0x0302, ""},
		"word":        {[]asm.Instruction{data, asm.LoadMem(asm.R0, asm.R2, 0, asm.Word)}, 0x04030201, ""},
		"length":      {[]asm.Instruction{data, asm.LoadMem(asm.R0, asm.R1, 4, asm.Word), asm.Sub.Reg(asm.R0, asm.R2)}, 4, ""},
		"queue":       {[]asm.Instruction{asm.LoadMem(asm.R0, asm.R1, 16, asm.Word)}, 9, ""},
		"stack":       {[]asm.Instruction{asm.StoreImm(asm.RFP, -8, 5, asm.Word), asm.LoadMem(asm.R0, asm.RFP, -8, asm.Word)}, 5, ""},
		"behind":      {[]asm.Instruction{data, asm.LoadMem(asm.R0, asm.R2, 1, asm.Word)}, 0, "out of bounds"},
		"in front":    {[]asm.Instruction{data, asm.LoadMem(asm.R0, asm.R2, -1, asm.Byte)}, 0, "out of bounds"},
		"null":        {[]asm.Instruction{asm.Mov.Imm(asm.R2, 0), asm.LoadMem(asm.R0, asm.R2, 0, asm.Byte)}, 0, "out of bounds"},
		"store":       {[]asm.Instruction{data, asm.StoreImm(asm.R2, 4, 5, asm.Byte)}, 0, "out of bounds"},
		"above stack": {[]asm.Instruction{asm.StoreImm(asm.RFP, 8*stackSize, 5, asm.Byte)}, 0, "out of bounds"},
		"context":     {[]asm.Instruction{asm.LoadMem(asm.R0, asm.R1, 12, asm.Word)}, 0, "of the context"},
		"no map":      {[]asm.Instruction{asm.Mov.Reg(asm.R1, asm.RFP), asm.FnMapLookupElem.Call()}, 0, "no map"},
		"wild key":    {[]asm.Instruction{asm.LoadMapPtr(asm.R1, 0).WithReference("hash"), asm.Mov.Imm(asm.R2, 0), asm.FnMapLookupElem.Call()}, 0, "out of bounds"},
		"for ever":    {[]asm.Instruction{{OpCode: asm.Ja.Op(asm.ImmSource), Offset: -1}}, 0, "does not end"},
		"no end":      {[]asm.Instruction{{OpCode: asm.Ja.Op(asm.ImmSource), Offset: 0}, asm.Mov.Imm(asm.R0, 0)}, 0, ""},
	} {
		got, err := result(t, append(test.program, asm.Return())...)
		if (err == nil) != (test.wrong == "") || err != nil && !strings.Contains(err.Error(), test.wrong) || got != test.want {
			t.Errorf("%s: %#x, %v; want %#x, %q", name, got, err, test.want, test.wrong)
		}
	}
}

// TestCalls: a function has a stack of its own, and its caller's registers come back.
func TestCalls(t *testing.T) {
	call := func(name string) asm.Instruction {
		return asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoCall}.WithReference(name)
	}
	got, err := result(t,
		asm.Mov.Imm(asm.R6, 40).WithSymbol("p"), asm.StoreImm(asm.RFP, -8, 2, asm.Word), call("f"),
		asm.LoadMem(asm.R1, asm.RFP, -8, asm.Word), asm.Mov.Reg(asm.R0, asm.R6), asm.Add.Reg(asm.R0, asm.R1), asm.Return(),
		asm.Mov.Imm(asm.R6, 1).WithSymbol("f"), asm.StoreImm(asm.RFP, -8, 1, asm.Word), asm.Return())
	if got != 42 || err != nil {
		t.Errorf("%d, %v; want 42", got, err)
	}
	if _, err := result(t, call("p").WithSymbol("p"), asm.Return()); err == nil {
		t.Error("functions call each other without end")
	}
}

// lookup puts a key on the stack, and looks it up in a map: r0 is its value, or 99.
func lookup(name string, key int64) []asm.Instruction {
	jump := asm.JNE.Imm(asm.R0, 0, "")
	jump.Offset = 2
	return []asm.Instruction{
		asm.StoreImm(asm.RFP, -4, key, asm.Word), asm.LoadMapPtr(asm.R1, 0).WithReference(name),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -4), asm.FnMapLookupElem.Call(),
		jump, asm.Mov.Imm(asm.R0, 99), asm.Return(), asm.LoadMem(asm.R0, asm.R0, 0, asm.Word), asm.Return(),
	}
}

func TestMaps(t *testing.T) {
	for _, name := range []string{"hash", "lru", "array"} {
		m, err := machine(t, lookup(name, 1)...)
		if err != nil {
			t.Fatal(err)
		}
		expect := func(when string, want uint32) {
			t.Helper()
			if got, err := m.Run(nil, 0); got != want || err != nil {
				t.Errorf("%s, %s: %d, %v; want %d", name, when, got, err, want)
			}
		}
		table := m.Map(name)
		if name == "array" {
			expect("as it begins", 7)
			if err := table.Update(uint32(2), uint32(1), ebpf.UpdateAny); err == nil {
				t.Error("an array has grown")
			}
			continue
		}
		expect("empty", 99)
		for key := range uint32(2) {
			if err := table.Update(key, key+5, ebpf.UpdateAny); err != nil {
				t.Fatal(err)
			}
		}
		expect("set", 6)
		_ = table.Update(uint32(1), uint32(8), ebpf.UpdateAny)
		expect("changed", 8)
		if err := table.Update(uint32(2), uint32(9), ebpf.UpdateAny); (err == nil) != (name == "lru") {
			t.Errorf("%s takes one more than it has room for: %v", name, err)
		}
		if b, ok := table.Lookup(uint32(1)); !ok || b[0] != 8 || table.Len() != 2 {
			t.Errorf("%s has %d entries, and %v, %v", name, table.Len(), b, ok)
		}
		if _, ok := table.Lookup(uint64(1)); ok {
			t.Errorf("%s has a key of another size", name)
		}
		if name == "lru" { // 0 had to go, 1 was set once more, 2 is newer
			_ = table.Update(uint32(3), uint32(9), ebpf.UpdateAny)
			expect("forgotten", 99)
			_ = table.Update(uint32(1), uint32(5), ebpf.UpdateAny)
			expect("back", 5)
			_ = table.Update(uint32(3), uint32(9), ebpf.UpdateAny)
			_ = table.Update(uint32(4), uint32(9), ebpf.UpdateAny)
			expect("older than one that was set once more", 99)
			continue
		}
		if err := table.Delete(uint32(1)); err != nil {
			t.Error(err)
		}
		expect("deleted", 99)
		if err := table.Delete(uint32(1)); !errors.Is(err, ebpf.ErrKeyNotExist) {
			t.Errorf("deleted twice: %v", err)
		}
		if err := table.Update(uint32(4), uint32(9), ebpf.UpdateAny); err != nil {
			t.Errorf("no room after a deletion: %v", err)
		}
		if table.Update(uint64(1), uint32(1), ebpf.UpdateAny) == nil || table.Update("x", uint32(1), ebpf.UpdateAny) == nil {
			t.Error("a key of another size is taken")
		}
	}
}

// TestProgramWrites: a program changes maps as the kernel would.
func TestProgramWrites(t *testing.T) {
	key := func(fn asm.BuiltinFunc, name string) []asm.Instruction {
		return []asm.Instruction{
			asm.StoreImm(asm.RFP, -4, 1, asm.Word), asm.StoreImm(asm.RFP, -8, 7, asm.Word), asm.LoadMapPtr(asm.R1, 0).WithReference(name),
			asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -4), asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, -8), fn.Call(),
		}
	}
	for _, name := range []string{"hash", "lru"} {
		update, remove := key(asm.FnMapUpdateElem, name), key(asm.FnMapDeleteElem, name)
		for what, test := range map[string]struct {
			program []asm.Instruction
			want    uint32
		}{
			"updated":       {append(slices.Clone(update), lookup(name, 1)...), 7},
			"another":       {append(slices.Clone(update), lookup(name, 2)...), 99},
			"deleted":       {append(slices.Concat(update, remove), lookup(name, 1)...), 99},
			"deleted twice": {append(slices.Concat(update, remove, remove), asm.Return()), ^uint32(0)},
			"anew":          {append(slices.Concat(update, remove, update), lookup(name, 1)...), 7},
		} {
			if got, err := result(t, test.program...); got != test.want || err != nil {
				t.Errorf("%s, %s: %d, %v; want %d", name, what, got, err, test.want)
			}
		}
	}
}

// TestUnsupported: what a Machine can't do is refused before it runs.
func TestUnsupported(t *testing.T) {
	for name, in := range map[string]asm.Instruction{
		"atomic":       asm.StoreXAdd(asm.R0, asm.R1, asm.Word),
		"helper":       asm.FnKtimeGetNs.Call(),
		"signed":       asm.SDiv.Imm(asm.R0, 2),
		"map":          asm.LoadMapPtr(asm.R1, 0).WithReference("another"),
		"old load":     asm.LoadAbs(0, asm.Word),
		"jump too far": {OpCode: asm.Ja.Op(asm.ImmSource), Offset: 9},
		"no function":  {OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoCall},
		"signed load":  {OpCode: 0x81},
		"unknown":      {OpCode: 0xe7},
	} {
		if _, err := machine(t, in, asm.Return()); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(&ebpf.CollectionSpec{}, "p"); err == nil {
		t.Error("a program that is not there")
	}
	if _, err := New(&ebpf.CollectionSpec{
		Maps:     map[string]*ebpf.MapSpec{"m": {Type: ebpf.Queue}},
		Programs: map[string]*ebpf.ProgramSpec{"p": {}},
	}, "p"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a map of another kind: %v", err)
	}
}
