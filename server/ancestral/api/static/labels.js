/** What people call the classes of a label. */

/** The class's name; its number where the package names none, `value` itself where it is no class. */
export function nameOf({ names }, value) {
  return names?.[value] ?? `${value}`;
}
