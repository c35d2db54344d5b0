#include "textflag.h"

// func prefetchSets(sets *set8, n uint64, hashes *uint64, count int)
TEXT ·prefetchSets(SB), NOSPLIT, $0-32
	MOVQ sets+0(FP), DI
	MOVQ n+8(FP), SI
	MOVQ hashes+16(FP), DX
	MOVQ count+24(FP), CX
	TESTQ CX, CX
	JLE  done
next:
	MOVL (DX), AX          // lower half of the hash, as Cache.set has it
	IMULQ SI, AX
	SHRQ $32, AX
	SHLQ $6, AX
	PREFETCHT0 (DI)(AX*1)
	ADDQ $8, DX
	DECQ CX
	JNZ  next
done:
	RET

// func prefetchRecords(slab *cacheLine, refs *Ref, count int)
TEXT ·prefetchRecords(SB), NOSPLIT, $0-24
	MOVQ slab+0(FP), DI
	MOVQ refs+8(FP), DX
	MOVQ count+16(FP), CX
	TESTQ CX, CX
	JLE  done
next:
	MOVL (DX), AX
	SHRL $1, AX            // Ref.index
	SHLQ $6, AX
	PREFETCHT0 (DI)(AX*1)
	ADDQ $4, DX
	DECQ CX
	JNZ  next
done:
	RET

// func prefetchLine(line *cacheLine)
TEXT ·prefetchLine(SB), NOSPLIT, $0-8
	MOVQ line+0(FP), DI
	PREFETCHT0 (DI)
	RET
