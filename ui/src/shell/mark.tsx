/** The product's mark. */
export function Mark(props: { size?: number }) {
  const size = props.size ?? 28;
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" fill="none" role="img" aria-label="cnnf">
      <path d="M9 10 22 9M9 10l3 12M22 9l1 12M12 22l11-1" stroke="var(--border-strong)" strokeWidth="1.6" />
      <path d="m9 10 14 11" stroke="var(--alert)" strokeWidth="2.2" strokeDasharray="3.4 2.2" />
      <g fill="var(--accent)">
        <circle cx="9" cy="10" r="4" />
        <circle cx="22" cy="9" r="3" />
        <circle cx="12" cy="22" r="3" />
        <circle cx="23" cy="21" r="4" />
      </g>
    </svg>
  );
}
