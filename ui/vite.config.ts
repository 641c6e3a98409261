import { svelte } from '@sveltejs/vite-plugin-svelte';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

/** Compressed twins beside each script and style sheet: the server sends them as they are. */
const twins: Plugin = {
  name: 'twins',
  apply: 'build',
  writeBundle({ dir }) {
    const assets = join(dir ?? '', 'assets');
    for (const name of readdirSync(assets).filter((name) => /\.(js|css)$/.test(name))) {
      const bytes = readFileSync(join(assets, name));
      writeFileSync(join(assets, `${name}.gz`), gzipSync(bytes, { level: 9 }));
      writeFileSync(join(assets, `${name}.br`), brotliCompressSync(bytes));
    }
  },
};

// The server sends `default-src 'self'; style-src 'self'`: nothing may be inlined, neither script, style nor image.
export default defineConfig({
  plugins: [svelte(), twins],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    sourcemap: false,
  },
  server: { proxy: { '/api': process.env['HOPSCOPE_URL'] ?? 'http://127.0.0.1:7400' } },
});
