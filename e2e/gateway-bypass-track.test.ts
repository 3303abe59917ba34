import { bypasses } from './gateway-bypass.ts';

bypasses('track');
