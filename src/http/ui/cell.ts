// A part of a page that changes by itself: its element has this id.
import type { Html } from '../../../ui/views/frame.ts'

export type Cell = { readonly id: string; readonly html: Html }
