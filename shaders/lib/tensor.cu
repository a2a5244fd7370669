// Products on tensor cores, for devices from sm_80 on: put before a kernel that calls `tensor_product`.
//
// A warp multiplies by `mma.sync`. Lane l has the numbers g = l / 4 and t = l % 4 in it, and holds of the tile
//   halves (16 x 8, 16 steps): of lhs rows g and g + 8 at steps 2t, 2t + 1 and these + 8; of rhs the same steps of column g
//   tf32 (16 x 8, 8 steps): of lhs rows g and g + 8 at steps t and t + 4; of rhs the same steps of column g
//   the sums: of rows g and g + 8 columns 2t and 2t + 1
// in registers ordered (g, low), (g + 8, low), (g, high), (g + 8, high).

typedef unsigned int u32;

struct tensor_f16 {
  typedef unsigned short element;
  static const u32 STEPS = 16;
  LIBRARY void multiply(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
};

struct tensor_bf16 {
  typedef unsigned short element;
  static const u32 STEPS = 16;
  LIBRARY void multiply(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
};

struct tensor_tf32 {
  typedef float element;
  static const u32 STEPS = 8;
  LIBRARY void multiply(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
};

LIBRARY u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// Four 8 x 8 blocks of halves: lane 8q + r gives the address of row r of block q, and gets of each block the
// elements 2t and 2t + 1 of row g; if TURNED, of the transposed block.
template <bool TURNED>
LIBRARY void load_blocks(u32& a, u32& b, u32& c, u32& d, u32 address) {
  if (TURNED) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(a), "=r"(b), "=r"(c), "=r"(d) : "r"(address) : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(a), "=r"(b), "=r"(c), "=r"(d) : "r"(address) : "memory");
  }
}

// Copies 16 bytes to shared memory in the background, or fills them with zeros.
LIBRARY void copy_soon(u32 target, const void* source, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" : : "r"(target), "l"(source), "r"(inside ? 16u : 0u) : "memory");
}
LIBRARY void wait_for_copies() {
  asm volatile("cp.async.commit_group;" : : : "memory");
  asm volatile("cp.async.wait_group 0;" : : : "memory");
}
LIBRARY u32 tf32_of(float x) {
  u32 bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

// One operand: OWN rows of lhs, or columns of rhs, by DEPTH steps, in two buffers of shared memory. What is
// neighbours in memory is neighbours here: rows (ACROSS), or steps. Pads keep lanes off each other's banks.
// WIDE: `source` gives the address of an element, and 16 bytes from it on are inside or outside together.
// Otherwise it gives the element, which waits in `held` while the tile before is multiplied.
template <class E, u32 OWN, u32 THREADS, bool ACROSS, bool WIDE>
struct tensor_side {
  typedef typename E::element element;
  static const u32 DEPTH = 64 / sizeof(element), VECTOR = 16 / sizeof(element);
  static const u32 WIDTH = (ACROSS ? OWN : DEPTH) + (ACROSS && sizeof(element) == 4 ? 8 : VECTOR);
  static const u32 SIZE = (ACROSS ? DEPTH : OWN) * WIDTH;
  static const u32 TURNS = OWN * DEPTH / (WIDE ? VECTOR : 1) / THREADS;
  element held[WIDE ? 1 : TURNS];

  __device__ __forceinline__ static u32 place(u32 own, u32 step) { return ACROSS ? step * WIDTH + own : own * WIDTH + step; }

  __device__ __forceinline__ static void spot(u32 turn, u32& own, u32& step) {
    u32 v = (turn * THREADS + threadIdx.x) * (WIDE ? VECTOR : 1);
    own = ACROSS ? v % OWN : v / DEPTH;
    step = ACROSS ? v / OWN : v % DEPTH;
  }

  template <class F>
  __device__ __forceinline__ void fetch(const F& source, element* buffer, u32 first, u32 size, u32 start, u32 depth) {
#pragma unroll
    for (u32 turn = 0; turn < TURNS; ++turn) {
      u32 own, step;
      spot(turn, own, step);
      bool inside = first + own < size && start + step < depth;
      if constexpr (WIDE) {
        copy_soon(shared_address(buffer + place(own, step)), inside ? source(first + own, start + step) : source(0, 0), inside);
      } else {
        held[turn] = inside ? source(first + own, start + step) : element(0);
      }
    }
  }

  __device__ __forceinline__ void put(element* buffer) {
    if constexpr (!WIDE) {
#pragma unroll
      for (u32 turn = 0; turn < TURNS; ++turn) {
        u32 own, step;
        spot(turn, own, step);
        buffer[place(own, step)] = held[turn];
      }
    }
  }

  // Two fragments of 8 rows, or columns, from `own` on, at the steps from `step` on. OTHERS: the second
  // register is the second fragment of the same steps, as lhs has it, else the high steps of the first.
  template <bool OTHERS>
  __device__ __forceinline__ static void fragments(u32 (&r)[4], const element* buffer, u32 own, u32 step) {
    u32 lane = threadIdx.x % 32;
    if constexpr (sizeof(element) == 2) {
      u32 low = lane / 8 % 2 * 8, high = lane / 16 * 8;
      u32 by = OTHERS ? low : high, on = OTHERS ? high : low;
      u32 at = ACROSS ? place(own + by, step + on + lane % 8) : place(own + by + lane % 8, step + on);
      load_blocks<ACROSS>(r[0], r[1], r[2], r[3], shared_address(buffer + at));
    } else {
#pragma unroll
      for (u32 q = 0; q < 4; ++q) {
        u32 low = q % 2, high = q / 2;
        u32 by = OTHERS ? low : high, on = OTHERS ? high : low;
        r[q] = tf32_of(buffer[place(own + by * 8 + lane / 4, step + on * 4 + lane % 4)]);
      }
    }
  }
};

// The tile of ROWS x COLUMNS results from row `i0` and column `j0` on. DOWN x ACROSS warps have a part each.
// While a tile of DEPTH steps is multiplied, the next one is on its way. `store(i, j, sum)` gets each result.
template <class E, u32 ROWS, u32 COLUMNS, u32 DOWN, u32 ACROSS, bool TURNED_LHS, bool WIDE_LHS, bool TURNED_RHS,
          bool WIDE_RHS, class L, class R, class S>
__device__ __forceinline__ void tensor_product(u32 m, u32 n, u32 depth, u32 i0, u32 j0, const L& lhs, const R& rhs, const S& store) {
  typedef tensor_side<E, ROWS, 32 * DOWN * ACROSS, TURNED_LHS, WIDE_LHS> Left;
  typedef tensor_side<E, COLUMNS, 32 * DOWN * ACROSS, TURNED_RHS, WIDE_RHS> Right;
  typedef typename E::element element;
  const u32 HEIGHT = ROWS / DOWN, WIDTH = COLUMNS / ACROSS, DEPTH = Left::DEPTH;
  const u32 BYTES = 2 * (Left::SIZE + Right::SIZE) * sizeof(element), STAGE = 16 * (WIDTH + 1);
  static_assert(BYTES >= STAGE * DOWN * ACROSS * 4 && BYTES <= 48 * 1024, "the sums go out through the same memory");
  __shared__ __align__(16) unsigned char room[BYTES];
  element* left_room = (element*)room;
  element* right_room = left_room + 2 * Left::SIZE;
  const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const u32 down = warp / ACROSS * HEIGHT, across = warp % ACROSS * WIDTH;
  Left left;
  Right right;
  float sums[HEIGHT / 16][WIDTH / 8][4] = {};

  const u32 tiles = (depth + DEPTH - 1) / DEPTH;
#pragma unroll 1
  for (u32 tile = 0; tile <= tiles; ++tile) {
    const u32 next = tile % 2, now = 1 - next;
    if (tile < tiles) {
      left.fetch(lhs, left_room + next * Left::SIZE, i0, m, tile * DEPTH, depth);
      right.fetch(rhs, right_room + next * Right::SIZE, j0, n, tile * DEPTH, depth);
    }
    if (tile > 0) {
#pragma unroll
      for (u32 step = 0; step < DEPTH; step += E::STEPS) {
        u32 a[HEIGHT / 16][4], b[WIDTH / 8][2];
#pragma unroll
        for (u32 x = 0; x < HEIGHT / 16; ++x)
          Left::template fragments<true>(a[x], left_room + now * Left::SIZE, down + 16 * x, step);
#pragma unroll
        for (u32 y = 0; y < WIDTH / 16; ++y) {
          u32 r[4];
          Right::template fragments<false>(r, right_room + now * Right::SIZE, across + 16 * y, step);
          b[2 * y][0] = r[0], b[2 * y][1] = r[1], b[2 * y + 1][0] = r[2], b[2 * y + 1][1] = r[3];
        }
#pragma unroll
        for (u32 x = 0; x < HEIGHT / 16; ++x)
#pragma unroll
          for (u32 y = 0; y < WIDTH / 8; ++y) E::multiply(sums[x][y], a[x], b[y]);
      }
    }
    if (tile < tiles) {
      left.put(left_room + next * Left::SIZE);
      right.put(right_room + next * Right::SIZE);
    }
    wait_for_copies();
    __syncthreads();
  }

  // Neighbouring lanes store neighbouring columns.
  float* stage = (float*)room + warp * STAGE;
#pragma unroll
  for (u32 x = 0; x < HEIGHT / 16; ++x) {
#pragma unroll
    for (u32 y = 0; y < WIDTH / 8; ++y)
#pragma unroll
      for (u32 q = 0; q < 4; ++q) stage[(lane / 4 + q / 2 * 8) * (WIDTH + 1) + y * 8 + lane % 4 * 2 + q % 2] = sums[x][y][q];
    __syncwarp();
#pragma unroll 2
    for (u32 v = lane; v < 16 * WIDTH; v += 32) {
      const u32 i = i0 + down + 16 * x + v / WIDTH, j = j0 + across + v % WIDTH;
      if (i < m && j < n) store(i, j, stage[v / WIDTH * (WIDTH + 1) + v % WIDTH]);
    }
    __syncwarp();
  }
}
