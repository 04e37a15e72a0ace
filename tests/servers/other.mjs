// A second server, whose origin is another one.

export { serve } from './http.mjs'
