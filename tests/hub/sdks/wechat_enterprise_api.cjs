// wechat-enterprise-api, for WeCom.
const { promisify } = require('node:util');
const WechatEnterpriseAPI = require('wechat-enterprise-api');
const { serve, TEXT } = require('./driver.cjs');

const { WECHAT_BASE_URL, WECHAT_APPID, WECHAT_SECRET, WECHAT_AGENTID, WX_TEST_PICTURE } = process.env;

const api = new WechatEnterpriseAPI(WECHAT_APPID, WECHAT_SECRET, Number(WECHAT_AGENTID));
api.prefix = `${WECHAT_BASE_URL}/cgi-bin/`;
const ask = (method, ...args) => promisify(api[method]).call(api, ...args);

serve(
  {
    call: () => ask('send', { touser: 'witness' }, { msgtype: 'text', text: { content: TEXT } }),
    ticket: async () => (await ask('getTicket')).ticket,
    upload: () => ask('uploadMedia', WX_TEST_PICTURE, 'image'),
  },
  async () => api.store?.accessToken,
);
