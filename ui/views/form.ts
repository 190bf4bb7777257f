// Parts of forms: hidden fields, labelled controls with error and help, buttons that change something, typed confirmation.
import { html } from 'hono/html'
import type { Frame, Html } from './frame.ts'
import { icon } from './icon.ts'

/** Token against forged requests, and the key that makes a double click one operation. */
export function hiddenFields(frame: Frame, key = frame.formKey): Html {
  return html`<input type="hidden" name="_csrf" value="${frame.csrf}"><input type="hidden" name="_key" value="${key}">`
}

export type ChangeButton = {
  readonly text: string
  readonly icon?: string
  /** Extra classes: `main risk bare big sq`. */
  readonly look?: string
  /** Path that it posts to; a plain submit of its form without one. */
  readonly path?: string
  /** Why it cannot be pressed now. */
  readonly refusal?: string | null
  /** Told to the palette and to screen readers where the text alone says too little. */
  readonly command?: string
  readonly id?: string
  /** A typed confirmation arms it. */
  readonly armed?: boolean
  readonly wide?: boolean
}

/** A button that changes something: refused ones stay in the tab order and say why. */
export function changeButton(frame: Frame, button: ChangeButton): Html {
  const refusal = frame.refusal ?? button.refusal ?? null
  const id = button.id ?? `b-${(button.command ?? button.text).toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}`
  const classes = ['btn', button.look ?? ''].filter((part) => part !== '').join(' ')
  const off = refusal !== null || button.armed === true
  return html`<button type="submit" class="${classes}" id="${id}" data-change${button.path === undefined ? '' : html` formaction="${button.path}" hx-post="${button.path}" hx-swap="none" hx-disable="this"`}${
    off ? html` aria-disabled="true"` : ''
  }${refusal === null ? '' : html` aria-describedby="${id}-why" title="${refusal}"`}${button.armed === true ? html` data-armed` : ''}${
    button.command === undefined ? '' : html` data-command="${button.command}"`
  }>${button.icon === undefined ? '' : icon(frame, button.icon)}${button.look?.includes('sq') === true ? html`<span class="vh">${button.text}</span>` : button.text}${
    refusal === null ? '' : html`<span class="vh" id="${id}-why">${refusal}</span>`
  }</button>`
}

/** A link to a form or a dialog that changes something; refused like a button. */
export function changeLink(frame: Frame, link: { readonly href: string; readonly text: string; readonly icon: string; readonly look?: string; readonly key?: string }): Html {
  const classes = ['btn', link.look ?? ''].filter((part) => part !== '').join(' ')
  return html`<a class="${classes}" href="${link.href}" data-change${link.key === undefined ? '' : html` data-key="${link.key}"`}${
    frame.refusal === null ? '' : html` aria-disabled="true" title="${frame.refusal}"`
  }>${icon(frame, link.icon)}${link.text}</a>`
}

export type Field = {
  readonly id: string
  readonly label: string
  readonly help?: string
  readonly error?: string | undefined
  /** The control gets these attributes to be joined with error and help. */
  readonly control: (attributes: Html) => Html
}

export function field(frame: Frame, options: Field): Html {
  const { id, error, help } = options
  const described = [error === undefined ? '' : `${id}-err`, help === undefined ? '' : `${id}-help`].filter((part) => part !== '').join(' ')
  const attributes = html` id="${id}"${error === undefined ? '' : html` aria-invalid="true"`}${described === '' ? '' : html` aria-describedby="${described}"`}`
  return html`<div class="field"><label for="${id}">${options.label}</label>${options.control(attributes)}${
    error === undefined ? '' : html`<span class="err" id="${id}-err">${icon(frame, 's-failed')}${error}</span>`
  }${help === undefined ? '' : html`<span class="help" id="${id}-help">${help}</span>`}</div>`
}

export type TextField = Omit<Field, 'control'> & {
  readonly name: string
  readonly value?: string
  readonly type?: string
  readonly placeholder?: string
  readonly suffix?: string
  readonly numeric?: boolean
  readonly required?: boolean
  readonly autocomplete?: string
}

export function textField(frame: Frame, options: TextField): Html {
  return field(frame, {
    ...options,
    control: (attributes) => {
      const input = html`<input type="${options.type ?? 'text'}" class="input" name="${options.name}" value="${options.value ?? ''}"${attributes}${
        options.placeholder === undefined ? '' : html` placeholder="${options.placeholder}"`
      }${options.numeric === true ? html` inputmode="decimal"` : ''}${options.required === true ? html` required` : ''} autocomplete="${options.autocomplete ?? 'off'}" autocapitalize="none" spellcheck="false">`
      return options.suffix === undefined ? input : html`<div class="suffix">${input}<span>${options.suffix}</span></div>`
    },
  })
}

export type Choice = { readonly value: string; readonly text: string; readonly disabled?: boolean }

export function selectField(frame: Frame, options: Omit<Field, 'control'> & { readonly name: string; readonly value: string; readonly choices: readonly Choice[] }): Html {
  return field(frame, {
    ...options,
    control: (attributes) => html`<select class="input" name="${options.name}"${attributes}>${options.choices.map(
      (choice) => html`<option value="${choice.value}"${choice.value === options.value ? html` selected` : ''}${choice.disabled === true ? html` disabled` : ''}>${choice.text}</option>`,
    )}</select>`,
  })
}

/** "Type NAME to confirm"; the server checks the text again. */
export function confirmField(frame: Frame, options: { readonly id: string; readonly text: string; readonly error?: string | undefined }): Html {
  const { id, text, error } = options
  return html`<div class="field"><label for="${id}">Type <b>${text}</b> to confirm</label><input type="text" class="input" id="${id}" name="confirm" data-confirm="${text}" autocomplete="off" autocapitalize="none" spellcheck="false"${
    error === undefined ? '' : html` aria-invalid="true" aria-describedby="${id}-err"`
  }>${error === undefined ? '' : html`<span class="err" id="${id}-err">${icon(frame, 's-failed')}${error}</span>`}</div>`
}

/** Error summary first in a form, with links to the fields. */
export function errorSummary(frame: Frame, errors: readonly { readonly id: string; readonly label: string; readonly message: string }[]): Html {
  if (errors.length === 0) return html``
  return html`<div class="note bad" role="alert" id="form-errors" tabindex="-1">${icon(frame, 's-failed')}<div class="grow"><p class="b">${
    errors.length === 1 ? 'One field needs your attention' : `${errors.length} fields need your attention`
  }</p>${errors.map((error) => html`<p><a href="#${error.id}">${error.label}: ${error.message}</a></p>`)}</div></div>`
}
