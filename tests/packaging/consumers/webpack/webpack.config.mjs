export default {
  mode: 'production',
  entry: './src/main.js',
  experiments: { outputModule: true },
  output: { module: true, filename: 'main.js', publicPath: 'auto' },
}
