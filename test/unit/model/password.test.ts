// Passwords that everybody tries first are refused, others are not.
import { expect, test } from 'vitest'
import { weaknessOf } from '../../../src/model/password.ts'

test.each(['password123', 'Passw0rd!!!!', 'P@ssw0rd2026', 'qwertyuiop', '1234567890', 'abcdefghijkl', 'aaaaaaaaaaaa', 'welcome2026!', 'changeme1234', 'annaanna12', 'novacron2026', '0987654321'])('%s is refused', (password) => {
  expect(weaknessOf(password, 'anna')).toMatch(/^must /)
})
test.each(['correct horse', 'battery staple', 'a password of anna', 'kitchen-lamp-47', 'Tr0ub4dor&3x', 'vahk-teoq-puzn'])('%s is taken', (password) => {
  expect(weaknessOf(password, 'anna')).toBeNull()
})
