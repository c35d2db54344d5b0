package vm

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/afxlb/afxlb/internal/testutil"
)

var seed = flag.Uint64("seed", 0, "seed of the random tests; 0 takes a new one")

// randomProgram returns a program that computes with all registers, and jumps forward now and
// then: whatever it does, a verifier takes it. Its answer is of all registers.
func randomProgram(r *rand.Rand) (program asm.Instructions) {
	const registers = 10
	value := func() int64 {
		v := int64(r.Uint64() >> r.IntN(64))
		if r.IntN(2) == 0 {
			v = -v
		}
		return v
	}
	register := func() asm.Register { return asm.Register(r.IntN(registers)) }
	for i := range registers {
		program = append(program, asm.LoadImm(asm.Register(i), value(), asm.DWord))
	}
	alu := []asm.ALUOp{asm.Add, asm.Sub, asm.Mul, asm.Div, asm.Or, asm.And, asm.LSh, asm.RSh, asm.Neg, asm.Mod, asm.Xor, asm.Mov, asm.ArSh}
	jump := []asm.JumpOp{asm.JEq, asm.JGT, asm.JGE, asm.JSet, asm.JNE, asm.JSGT, asm.JSGE, asm.JLT, asm.JLE, asm.JSLT, asm.JSLE}
	const most = 60
	for left := most; left > 0; left-- {
		in := asm.Instruction{Dst: register(), Constant: int64(int32(value()))}
		class, source := asm.ALU64Class, asm.ImmSource
		if r.IntN(2) == 0 {
			class = asm.ALUClass
		}
		if r.IntN(2) == 0 {
			source, in.Src, in.Constant = asm.RegSource, register(), 0
		}
		switch r.IntN(8) {
		case 0:
			in = asm.HostTo([]asm.Endianness{asm.BE, asm.LE}[r.IntN(2)], in.Dst, []asm.Size{asm.Half, asm.Word, asm.DWord}[r.IntN(3)])
		case 1, 2:
			code := asm.JumpClass
			if class == asm.ALUClass {
				code = asm.Jump32Class
			}
			in.OpCode, in.Offset = asm.OpCode(code).SetJumpOp(jump[r.IntN(len(jump))]).SetSource(source), int16(r.IntN(min(left, 5)))
		default:
			op := alu[r.IntN(len(alu))]
			switch { // what no verifier takes
			case op == asm.Neg:
				source, in.Src, in.Constant = asm.ImmSource, 0, 0
			case source == asm.ImmSource && (op == asm.LSh || op == asm.RSh || op == asm.ArSh):
				in.Constant = int64(r.IntN(32))
			case source == asm.ImmSource && in.Constant == 0:
				in.Constant = 1
			}
			in.OpCode = asm.OpCode(class).SetALUOp(op).SetSource(source)
		}
		program = append(program, in)
	}
	for i := 1; i < registers; i++ {
		program = append(program, asm.Mul.Imm(asm.R0, 31), asm.Xor.Reg(asm.R0, asm.Register(i)))
	}
	return append(program,
		asm.Mov.Reg(asm.R1, asm.R0), asm.RSh.Imm(asm.R1, 32), asm.Xor.Reg(asm.R0, asm.R1), asm.Return())
}

// TestAgainstKernel: whatever a program computes, it is what the kernel computes.
func TestAgainstKernel(t *testing.T) {
	testutil.RequireRoot(t)
	s := *seed
	for s == 0 {
		s = rand.Uint64()
	}
	t.Logf("repeat with -seed %d", s)
	r := rand.New(rand.NewPCG(s, 0))
	for range 300 {
		program := randomProgram(r)
		theirs, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, Instructions: program, License: "GPL"})
		if err != nil {
			t.Fatalf("%v\n%+v", err, program)
		}
		want, _, err := theirs.Test(make([]byte, 64))
		theirs.Close()
		if err != nil {
			t.Fatal(err)
		}
		m, err := New(&ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{"p": {Instructions: program}}}, "p")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.Run(make([]byte, 64), 0); got != want || err != nil {
			t.Fatalf("%#x, %v; the kernel says %#x\n%v", got, err, want, program)
		}
	}
}
