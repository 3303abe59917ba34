import { bypasses } from './gateway-bypass.ts';

bypasses('synthetic');
