// The sign-in page.
import { html } from 'hono/html'
import type { Frame, Html } from './frame.ts'
import { textField } from './form.ts'
import { icon } from './icon.ts'
import { head } from './shell.ts'

export type LoginFrame = Pick<Frame, 'asset' | 'theme'> & { readonly cluster: { readonly name: string; readonly node: string; readonly quorum: boolean } }

export type LoginForm = { readonly name: string; readonly next: string; readonly error: string | null }

export function loginPage(frame: LoginFrame, form: LoginForm): Html {
  const full = frame as Frame
  return html`<!doctype html>
<html lang="en"${frame.theme === null ? '' : html` data-theme="${frame.theme}"`}>
${head(frame, { title: 'Sign in' })}
<body>
<main class="login" id="main">
${network()}
<div class="col wide">
<div class="brand">${icon(frame, 'logo')}<span>${frame.cluster.name}<small>NovaCron</small></span></div>
<div class="card"><form method="post" action="/login"><h1>Sign in</h1><input type="hidden" name="next" value="${form.next}">
${textField(full, { id: 'u', name: 'name', label: 'User name', value: form.name, autocomplete: 'username', required: true })}
${textField(full, { id: 'p', name: 'password', label: 'Password', type: 'password', autocomplete: 'current-password', required: true, error: form.error ?? undefined })}
<button type="submit" class="btn main big">Sign in</button></form></div>
<p class="small dim">You are on node ${frame.cluster.node}. The same name and password count on every node.${frame.cluster.quorum ? '' : ' This node has no quorum now: you can look, but not change anything.'}</p>
</div></main>
<div class="vh" id="say" role="status"></div>
</body>
</html>`
}

const columns = 12
const rows = 8

/** The drawing behind the form: a net of nodes, the same on every visit. */
function network(): Html {
  const points = Array.from({ length: columns * rows }, (_, at) => {
    const column = at % columns
    const row = Math.floor(at / columns)
    return { x: Math.round(column * 134 - 20 + wobble(at, 70)), y: Math.round(row * 128 - 10 + wobble(at + 500, 70)) }
  })
  const lines = points.flatMap((point, at) => {
    const right = at % columns < columns - 1 && wobble(at + 900, 1) > 0.25 ? points[at + 1] : undefined
    const below = wobble(at + 1300, 1) > 0.3 ? points[at + columns] : undefined
    return [right, below].filter((to) => to !== undefined).map((to) => `M${point.x} ${point.y}L${to.x} ${to.y}`)
  })
  return html`<svg viewBox="0 0 1440 900" preserveAspectRatio="xMidYMid slice" aria-hidden="true"><path d="${lines.join('')}" fill="none" stroke="currentColor"/>${points.map((point, at) => html`<circle cx="${point.x}" cy="${point.y}" r="${at % 9 === 0 ? 7 : 3}" fill="currentColor"/>`)}</svg>`
}

/** A fixed scatter 0…span by the golden ratio. */
function wobble(at: number, span: number): number {
  const value = (at * at * 0.618_033_988_75 + at * 0.414_213_56) % 1
  return value * span
}
