import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// The server sends `default-src 'self'; style-src 'self'`: nothing may be inlined, neither script, style nor image.
export default defineConfig({
  plugins: [svelte()],
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
