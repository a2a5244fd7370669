// jax-js's side of the long list. Every use of an array consumes it, so what is used again is a `.ref`.
import { inputsOf } from "./cases.js";

/** @param {any} jax @param {any} kit what jaxjs.js shares: A, tens, scalar, train, both, momentum, zerosLike, xent */
export function cases(jax, { A, tens, scalar, train, both, momentum, zerosLike, xent, free }) {
  const { numpy: np, nn, lax, tree, grad, jacrev, hessian } = jax;

  const matrix = (id, make) =>
    both((wrap) => {
      const p = tens(inputsOf(id));
      const f = wrap((p) => {
        const { x, ...rest } = p;
        const y = np.square(make(rest)(x)).sum();
        tree.dispose(rest);
        return y;
      });
      return { unit: (mark) => scalar(f(tree.ref(p)), mark), dispose: () => free(p) };
    });

  /** @param {string} id @param {(p: any, x: any, y: any) => any} loss */
  const step = (id, loss) =>
    train(() => {
      const d = inputsOf(id);
      const params = tens(d.params);
      const consts = [];
      if (d.x) consts.push(A(d.x));
      if (d.y) consts.push(A(d.y));
      if (d.labels) consts.push(A(d.labels.onehot));
      return { params, state: zerosLike(params), consts, loss, opt: momentum() };
    });

  const conv = (x, w, strides, pad, options = {}) =>
    lax.convGeneralDilated(x, w, strides, [pad, pad], options);
  const pool = (x) => lax.reduceWindow(x, (w) => np.max(w), [2, 2], [2, 2]);
  const norm = (h, axes) => {
    const m = np.mean(h.ref, axes, { keepdims: true });
    const c = h.sub(m);
    const v = np.mean(np.square(c.ref), axes, { keepdims: true });
    return c.div(np.sqrt(v.add(1e-5)));
  };
  const mse = (h, y) => np.square(h.sub(y)).mean();

  /** @param {string} id @param {(...arrays: any[]) => any} f its result is flattened, and element 7 read */
  const kernel = (id, f) =>
    both((wrap) => {
      const arrays = Object.values(tens(inputsOf(id)));
      const g = wrap(f);
      return {
        unit: async (mark) => {
          const y = g(...arrays.map((a) => a.ref));
          const v = await scalar(y.ref.reshape([-1]).slice(7), mark);
          y.dispose();
          return v;
        },
        dispose: () => free(...arrays),
      };
    });

  return {
    jacrev: matrix("jacrev", ({ w1, w2 }) =>
      jacrev((x) => np.tanh(np.matmul(np.tanh(np.matmul(x, w1.ref)), w2.ref))),
    ),
    hessian: matrix("hessian", ({ w1, w2 }) =>
      hessian((x) => np.tanh(np.matmul(x, w1.ref)).mul(w2.ref).sum()),
    ),
    strided: step("strided", (p, x, y) => {
      let h = x;
      for (const k of ["k1", "k2", "k3"]) h = nn.relu(conv(h, p[k], [2, 2], [1, 1]));
      return xent(np.matmul(h.mean([2, 3]), p.w), y, 8);
    }),
    unet: step("unet", (p, x, y) => {
      const top = nn.relu(conv(x, p.k1, [1, 1], [1, 1]));
      const low = nn.relu(conv(pool(top.ref), p.k2, [1, 1], [1, 1]));
      const turned = np.flip(np.transpose(p.up, [1, 0, 2, 3]), [2, 3]);
      const up = conv(low, turned, [1, 1], [1, 1], { lhsDilation: [2, 2] });
      const h = nn.relu(conv(np.concatenate([top, up], 1), p.k3, [1, 1], [1, 1]));
      return mse(conv(h, p.k4, [1, 1], [0, 0]), y);
    }),
    separable: step("separable", (p, x, y) => {
      let h = x;
      for (const i of [1, 2]) {
        const groups = { featureGroupCount: h.shape[1] };
        h = conv(h, p[`k${i}`], [1, 1], [i, i], groups);
        h = conv(h, p[`p${i}`], [1, 1], [0, 0]);
        h = nn.relu(norm(h, [0, 2, 3]).mul(p[`g${i}`].reshape([1, -1, 1, 1])));
      }
      return xent(np.matmul(h.mean([2, 3]), p.w), y, 6);
    }),
    lstm: step("lstm", (p, x, y) => {
      let h = np.zeros([16, 64]),
        c = np.zeros([16, 64]);
      for (let t = 0; t < 24; t++) {
        const z = np.matmul(x.ref.slice(t), p.wx.ref).add(np.matmul(h, p.wh.ref)).add(p.b.ref);
        const [i, f, g, o] = np.split(z, 4, 1);
        c = nn
          .sigmoid(f)
          .mul(c)
          .add(nn.sigmoid(i).mul(np.tanh(g)));
        h = nn.sigmoid(o).mul(np.tanh(c.ref));
      }
      free(c, x, p.wx, p.wh, p.b);
      return xent(np.matmul(h, p.w), y, 16);
    }),
    flow: step("flow", (p, x, y) => {
      let h = x;
      for (let t = 0; t < 12; t++) {
        const z = np.tanh(np.matmul(h.ref, p.w1.ref).add(p.b1.ref));
        h = h.add(np.matmul(z, p.w2.ref).add(p.b2.ref).div(12));
      }
      free(p.w1, p.b1, p.w2, p.b2);
      return mse(h, y);
    }),
    products: step("products", (p) =>
      np.square(np.matmul(np.matmul(p.a, np.matrixTranspose(p.b)), p.c)).mean(),
    ),
    attention: step("attention", (p) => {
      const [q, k, v] = [p.q, p.k, p.v].map((t) => np.transpose(t, [0, 2, 1, 3]));
      return np.square(nn.dotProductAttention(q, k, v, { isCausal: true })).mean();
    }),
    block: step("block", (p, x, y) => {
      let h = nn.standardize(x.ref, -1, { epsilon: 1e-5 }).mul(p.g).add(p.b);
      h = np.matmul(nn.gelu(np.matmul(h, p.w1)), p.w2);
      return mse(x.add(h), y);
    }),
    vocabulary: step("vocabulary", (p, x, y) => xent(np.matmul(x, p.w), y, 150)),
    matvec: kernel("matvec", (a, x) => np.matmul(a, x)),
    rows: kernel("rows", (x) => nn.logsumexp(x, 1)),
    columns: kernel("columns", (x) => x.sum(0)),
    argmax: kernel("argmax", (x) => np.argmax(x, 0)),
    variance: kernel("variance", (x) => np.var_(x.ref, 0).add(np.mean(x, 0))),
    outersin: kernel("outersin", (a, b) => np.sin(a.reshape([2048, 1]).add(b))),
    sorted: kernel("sorted", (x) => np.sort(x, 0)),
    sortedrows: kernel("sortedrows", (x) => np.sort(x, 1)),
    running: kernel("running", (x) => np.cumsum(x, 0)),
    runningrows: kernel("runningrows", (x) => np.cumsum(x, 1)),
    pooled: kernel("pooled", (x) =>
      grad((x) => np.square(lax.reduceWindow(x, (w) => np.max(w), [3, 3], [2, 2])).sum())(x),
    ),
    transposed: kernel("transposed", (x) => x.ref.add(np.transpose(x))),
    embedding: both((wrap) => {
      const d = inputsOf("embedding");
      const w = A(d.w);
      const index = np.array(d.labels.data, { dtype: np.int32 });
      const f = wrap((w, i) => grad((w) => np.square(np.take(w, i, 0)).sum())(w));
      return {
        unit: async (mark) => {
          const y = f(w.ref, index.ref);
          const v = await scalar(y.ref.slice(d.labels.data[0], 7), mark);
          y.dispose();
          return v;
        },
        dispose: () => free(w, index),
      };
    }),
    reads: {
      eager: () => {
        const x = A(inputsOf("reads").x);
        return {
          unit: async (mark) => {
            let total = 0;
            for (let i = 0; i < 50; i++) total += await scalar(x.ref.mul(1 + i).sum(), () => {});
            mark();
            return total;
          },
          dispose: () => free(x),
        };
      },
    },
  };
}
