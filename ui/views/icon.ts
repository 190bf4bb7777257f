// An icon of the sprite, decoration only: the word beside it carries the meaning.
import { html } from 'hono/html'
import type { Frame, Html } from './frame.ts'

/** @param tone extra classes: a tone (`ok warn bad go dim`) or `spin` */
export function icon(frame: Pick<Frame, 'asset'>, name: string, tone = ''): Html {
  return html`<svg class="i${tone === '' ? '' : ` ${tone}`}" aria-hidden="true"><use href="${frame.asset('icons.svg')}#${name}"/></svg>`
}
